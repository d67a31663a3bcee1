"""A table of the work that its queue has refused, so that nothing else waits behind it in the outbox."""

from typing import Final

import sqlalchemy as sa
from alembic import op

from adapters.sql.core.types import Id

revision: Final = "0013"
down_revision: Final = "0012"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "waiting_work",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("order_id", Id(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="waiting_work_pk"),
    )
    op.create_index("waiting_work_by_type", "waiting_work", ["type", "position"])
    op.create_index("waiting_work_by_event", "waiting_work", ["order_id", "sequence"])
