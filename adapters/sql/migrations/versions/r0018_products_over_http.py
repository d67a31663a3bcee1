"""An SKU, notes and an end of sale for each product, and the prices that products had before."""

from typing import Final

import sqlalchemy as sa
from alembic import op

from adapters.sql.core.types import UtcDateTime

revision: Final = "0018"
down_revision: Final = "0017"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.add_column("products", sa.Column("sku", sa.String(length=64)))
    # What is there is for sale, and what the release before this one still adds.
    op.add_column("products", sa.Column("active", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("products", sa.Column("metadata", sa.Text()))
    op.create_index("products_sku", "products", ["sku"], unique=True)
    op.create_index("products_for_sale", "products", ["active", "id"])
    op.create_table(
        "earlier_prices",
        sa.Column("product_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("price", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("product_id", "currency", "price", name="earlier_prices_pk"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="earlier_prices_are_of_a_product"),
        sa.CheckConstraint("price >= 0", name="earlier_prices_price_is_not_negative"),
        sa.CheckConstraint("length(currency) = 3", name="earlier_prices_currency_is_a_code"),
    )
    op.drop_index("stock_adjustments_by_product", "stock_adjustments")
    op.create_index("stock_adjustments_by_product", "stock_adjustments", ["product_id", "id"])
