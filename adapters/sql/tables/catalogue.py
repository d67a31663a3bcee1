"""Products, what they cost before, and the adjustments of their stock."""

from typing import Final

from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from adapters.sql.core.types import UtcDateTime
from adapters.sql.tables.base import Counter, metadata

products: Final = Table(
    "products",
    metadata,
    Column("id", BigInteger, nullable=False, autoincrement=False),
    Column("name", String(200), nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("currency", CHAR(3), nullable=False),
    Column("stock", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("sku", String(64)),
    Column("active", Boolean, nullable=False),
    # JSON: what the shop notes, which nobody searches for.
    Column("metadata", Text),
    PrimaryKeyConstraint("id", name="products_pk"),
    CheckConstraint("id > 0", name="products_id_is_positive"),
    CheckConstraint("length(name) > 0", name="products_have_a_name"),
    CheckConstraint("price >= 0", name="products_price_is_not_negative"),
    CheckConstraint("length(currency) = 3", name="products_currency_is_a_code"),
    CheckConstraint("stock >= 0", name="products_stock_is_not_negative"),
    Index("products_sku", "sku", unique=True),
    # Those who come from another system order by name.
    Index("products_by_name", "name"),
    # A page of those that are for sale, or of those that are not.
    Index("products_for_sale", "active", "id"),
)

# What a product cost before. An order at that price may have been accepted while the database was away.
earlier_prices: Final = Table(
    "earlier_prices",
    metadata,
    Column("product_id", BigInteger, nullable=False, autoincrement=False),
    Column("price", BigInteger, nullable=False, autoincrement=False),
    Column("currency", CHAR(3), nullable=False),
    Column("until", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("product_id", "currency", "price", name="earlier_prices_pk"),
    ForeignKeyConstraint(["product_id"], ["products.id"], name="earlier_prices_are_of_a_product"),
    CheckConstraint("price >= 0", name="earlier_prices_price_is_not_negative"),
    CheckConstraint("length(currency) = 3", name="earlier_prices_currency_is_a_code"),
)

stock_adjustments: Final = Table(
    "stock_adjustments",
    metadata,
    Column("id", Counter, Identity(always=True), nullable=False),
    Column("product_id", BigInteger, nullable=False),
    Column("change", BigInteger, nullable=False),
    Column("reason", String(200), nullable=False),
    Column("made_by", String(200), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("id", name="stock_adjustments_pk"),
    ForeignKeyConstraint(["product_id"], ["products.id"], name="stock_adjustments_are_of_a_product"),
    CheckConstraint("length(reason) > 0", name="stock_adjustments_have_a_reason"),
    CheckConstraint("length(made_by) > 0", name="stock_adjustments_have_an_author"),
    Index("stock_adjustments_by_product", "product_id", "id"),
)
