"""An id for the shop whose database this is, by which its payment ledger is known."""

from typing import Final
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision: Final = "0010"
down_revision: Final = "0009"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    shop = op.create_table(
        "shop",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="shop_pk"),
    )
    op.bulk_insert(shop, [{"id": uuid4()}])
