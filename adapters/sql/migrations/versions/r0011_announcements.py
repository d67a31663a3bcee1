"""A table of the announcements that others' queues have refused."""

from typing import Final

import sqlalchemy as sa
from alembic import op

from adapters.sql.core.types import Id, UtcDateTime

revision: Final = "0011"
down_revision: Final = "0010"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "announcements",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("order_id", Id(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", UtcDateTime(), nullable=False),
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="announcements_pk"),
    )
    op.create_index("announcements_by_order", "announcements", ["order_id", "position"])
    op.create_index("announcements_by_time", "announcements", ["not_before"])
