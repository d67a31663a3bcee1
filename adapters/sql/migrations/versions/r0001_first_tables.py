"""The first tables."""

from typing import Final

import sqlalchemy as sa
from alembic import op

from adapters.sql.core.types import UtcDateTime

revision: Final = "0001"
down_revision: Final = None
branch_labels: Final = None
depends_on: Final = None

_COUNTER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _inbox()
    _leases()
    _order_events()
    _orders()
    _outbox()
    _products()
    _order_items()
    _payments()
    _stock_adjustments()


def _inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("consumer", sa.String(length=64), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("consumer", "order_id", "sequence", name="inbox_pk"),
        sqlite_with_rowid=False,
    )


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=200), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="leases_pk"),
    )


def _order_events() -> None:
    op.create_table(
        "order_events",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.CheckConstraint("sequence > 0", name="order_events_sequence_is_positive"),
        sa.PrimaryKeyConstraint("order_id", "sequence", name="order_events_pk"),
        sqlite_with_rowid=False,
    )


def _orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("failure_reason", sa.String(length=32), nullable=True),
        sa.Column("payment_id", sa.Uuid(), nullable=True),
        sa.Column("holds_stock", sa.Boolean(), nullable=False),
        sa.Column("refund_requested", sa.Boolean(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "NOT holds_stock OR status IN ('PROCESSING', 'PAID', 'COMPLETED')",
            name="orders_hold_stock_while_it_is_theirs",
        ),
        sa.CheckConstraint(
            "status IN ('PENDING', 'PROCESSING', 'PAID', 'FAILED', 'COMPLETED', 'CANCELLED', 'EXPIRED', 'REFUNDED')",
            name="orders_status_is_known",
        ),
        sa.CheckConstraint("length(currency) = 3", name="orders_currency_is_a_code"),
        sa.CheckConstraint("total >= 0", name="orders_total_is_not_negative"),
        sa.CheckConstraint("user_id > 0", name="orders_user_is_positive"),
        sa.CheckConstraint("version >= 0", name="orders_version_is_not_negative"),
        sa.PrimaryKeyConstraint("id", name="orders_pk"),
    )
    op.create_index(
        "orders_by_status",
        "orders",
        ["status", "id"],
        unique=False,
        postgresql_where=sa.text("NOT deleted"),
        sqlite_where=sa.text("NOT deleted"),
    )
    op.create_index(
        "orders_by_user",
        "orders",
        ["user_id", "id"],
        unique=False,
        postgresql_where=sa.text("NOT deleted"),
        sqlite_where=sa.text("NOT deleted"),
    )
    op.create_index(
        "orders_unpaid",
        "orders",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status = 'PENDING' AND NOT deleted"),
        sqlite_where=sa.text("status = 'PENDING' AND NOT deleted"),
    )
    op.create_index(
        "orders_waiting",
        "orders",
        ["updated_at"],
        unique=False,
        postgresql_where=sa.text("(status = 'PROCESSING' OR (refund_requested AND status <> 'REFUNDED'))"),
        sqlite_where=sa.text("(status = 'PROCESSING' OR (refund_requested AND status <> 'REFUNDED'))"),
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("position", _COUNTER, sa.Identity(always=True), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="outbox_pk"),
        postgresql_with={"autovacuum_vacuum_scale_factor": "0", "autovacuum_vacuum_threshold": "5000"},
        sqlite_autoincrement=True,
    )


def _products() -> None:
    op.create_table(
        "products",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("stock", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("id > 0", name="products_id_is_positive"),
        sa.CheckConstraint("length(currency) = 3", name="products_currency_is_a_code"),
        sa.CheckConstraint("length(name) > 0", name="products_have_a_name"),
        sa.CheckConstraint("price >= 0", name="products_price_is_not_negative"),
        sa.CheckConstraint("stock >= 0", name="products_stock_is_not_negative"),
        sa.PrimaryKeyConstraint("id", name="products_pk"),
    )


def _order_items() -> None:
    op.create_table(
        "order_items",
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_price", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("position >= 0", name="order_items_position_is_not_negative"),
        sa.CheckConstraint("quantity > 0", name="order_items_quantity_is_positive"),
        sa.CheckConstraint("unit_price >= 0", name="order_items_price_is_not_negative"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="order_items_belong_to_an_order"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="order_items_are_of_a_product"),
        sa.PrimaryKeyConstraint("order_id", "position", name="order_items_pk"),
        sqlite_with_rowid=False,
    )


def _payments() -> None:
    op.create_table(
        "payments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.CHAR(length=3), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("provider_reference", sa.Text(), nullable=True),
        sa.CheckConstraint("status IN ('REQUESTED', 'CHARGED', 'FAILED', 'REFUNDED')", name="payments_status_is_known"),
        sa.CheckConstraint("amount >= 0", name="payments_amount_is_not_negative"),
        sa.CheckConstraint("length(currency) = 3", name="payments_currency_is_a_code"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="payments_are_for_an_order"),
        sa.PrimaryKeyConstraint("id", name="payments_pk"),
    )
    op.create_index("payments_by_order", "payments", ["order_id"], unique=False)
    op.create_index(
        "payments_one_open_for_an_order",
        "payments",
        ["order_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('REQUESTED', 'CHARGED')"),
        sqlite_where=sa.text("status IN ('REQUESTED', 'CHARGED')"),
    )


def _stock_adjustments() -> None:
    op.create_table(
        "stock_adjustments",
        sa.Column("id", _COUNTER, sa.Identity(always=True), nullable=False),
        sa.Column("product_id", sa.BigInteger(), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("made_by", sa.String(length=200), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("length(made_by) > 0", name="stock_adjustments_have_an_author"),
        sa.CheckConstraint("length(reason) > 0", name="stock_adjustments_have_a_reason"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="stock_adjustments_are_of_a_product"),
        sa.PrimaryKeyConstraint("id", name="stock_adjustments_pk"),
    )
    op.create_index("stock_adjustments_by_product", "stock_adjustments", ["product_id"], unique=False)
