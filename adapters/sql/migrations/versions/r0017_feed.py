"""The feed. The events of a shop with a history get positions here: by order, in sequence."""

from typing import Final

import sqlalchemy as sa
from alembic import op

from adapters.sql.core.types import Id, UtcDateTime

revision: Final = "0017"
down_revision: Final = "0016"
branch_labels: Final = None
depends_on: Final = None

_COUNTER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "feed_queue",
        sa.Column("id", _COUNTER, sa.Identity(always=True), nullable=False),
        sa.Column("order_id", Id(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="feed_queue_pk"),
        sqlite_autoincrement=True,
        postgresql_with={
            "autovacuum_vacuum_scale_factor": "0",
            "autovacuum_vacuum_threshold": "5000",
            "autovacuum_vacuum_cost_delay": "0",
        },
    )
    op.create_table(
        "feed",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("order_id", Id(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("given_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="feed_pk"),
    )
    op.create_table(
        "feed_head",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("given", sa.BigInteger(), nullable=False),
        sa.Column("pruned", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="feed_head_pk"),
        sa.CheckConstraint("id = 1", name="feed_head_is_one"),
        sa.CheckConstraint("pruned <= given", name="feed_head_pruned_was_given"),
    )
    if op.get_bind().dialect.name == "postgresql":
        # An event that is committed while this runs would have no position.
        op.execute("LOCK TABLE order_events IN SHARE ROW EXCLUSIVE MODE")
    op.execute(
        "INSERT INTO feed (position, order_id, sequence, type, given_at)"
        " SELECT row_number() OVER (ORDER BY order_id, sequence), order_id, sequence, type, at FROM order_events"
    )
    op.execute("INSERT INTO feed_head (id, given, pruned) SELECT 1, count(*), 0 FROM feed")
    op.create_index("feed_by_event", "feed", ["order_id", "sequence"], unique=True)
