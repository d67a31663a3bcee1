"""A low-water mark for the outbox: claims don't walk over what has left."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0007"
down_revision: Final = "0006"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "outbox_mark",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("noted", sa.BigInteger(), nullable=False),
        sa.Column("writers", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="outbox_mark_pk"),
        sa.CheckConstraint("id = 1", name="outbox_mark_is_one"),
    )
    if op.get_context().dialect.name == "postgresql":
        # A queue is vacuumed as fast as the disk allows: what is left in its index is in the way of each claim.
        op.execute("ALTER TABLE outbox SET (autovacuum_vacuum_cost_delay = 0)")
