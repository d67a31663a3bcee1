"""A row for the events that were written together, where each had a row. Those that wait get their positions here."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0021"
down_revision: Final = "0020"
branch_labels: Final = None
depends_on: Final = None

_COUNTER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        # An event that is committed while this runs would have no position.
        op.execute("LOCK TABLE feed_queue IN ACCESS EXCLUSIVE MODE")
    op.execute(
        "INSERT INTO feed (position, order_id, sequence, type, given_at)"
        " SELECT h.given + row_number() OVER (ORDER BY q.id), q.order_id, q.sequence, q.type, e.at FROM feed_queue q"
        " JOIN order_events e ON e.order_id = q.order_id AND e.sequence = q.sequence JOIN feed_head h ON h.id = 1"
    )
    op.execute("UPDATE feed_head SET given = given + (SELECT count(*) FROM feed_queue)")
    op.drop_table("feed_queue")
    op.create_table(
        "feed_queue",
        sa.Column("id", _COUNTER, sa.Identity(always=True), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="feed_queue_pk"),
        sqlite_autoincrement=True,
        postgresql_with={
            "autovacuum_vacuum_scale_factor": "0",
            "autovacuum_vacuum_threshold": "5000",
            "autovacuum_vacuum_cost_delay": "0",
        },
    )
