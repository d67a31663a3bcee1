"""An order that failed for want of stock names the products. Orders from before name none."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0009"
down_revision: Final = "0008"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("out_of_stock", sa.Text()))
