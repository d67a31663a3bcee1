"""Orders, their lines and their payments."""

from typing import Final

from sqlalchemy import (
    CHAR,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

from adapters.sql.core.types import Id, UtcDateTime
from adapters.sql.tables.base import metadata, one_of
from domain.orders.status import HAS_MONEY, LIFE, MAY_EXPIRE, MAY_HOLD_STOCK, WAITS_FOR_WORKER, OrderStatus
from domain.payments.payment import PaymentStatus

# What may yet become a charge, or is one.
_OPEN_PAYMENTS: Final = {payment for status in WAITS_FOR_WORKER | HAS_MONEY if (payment := LIFE[status].payment)}

# An index serves a query only when both state their condition in the same words.
NOT_DELETED: Final = text("NOT deleted")
NAMED: Final = text("external_id IS NOT NULL AND NOT deleted")
MAILED: Final = text("email IS NOT NULL AND NOT deleted")
UNPAID: Final = text(f"{one_of('status', MAY_EXPIRE)} AND NOT deleted")
WAITING: Final = text(
    f"({one_of('status', WAITS_FOR_WORKER)} OR (refund_requested AND status <> '{OrderStatus.REFUNDED}'))"
)
_OPEN: Final = text(one_of("status", _OPEN_PAYMENTS))

orders: Final = Table(
    "orders",
    metadata,
    Column("id", Id, nullable=False),
    Column("user_id", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("currency", CHAR(3), nullable=False),
    Column("failure_reason", String(32)),
    Column("payment_id", Id),
    Column("holds_stock", Boolean, nullable=False),
    Column("refund_requested", Boolean, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # By the clock of the database. Since then the order can be paid for.
    Column("recorded_at", UtcDateTime, nullable=False),
    # JSON: a few ids, which nobody searches for.
    Column("out_of_stock", Text),
    # Of a customer who is known by a name; `user_id` then has a number that is made from it, for the index.
    Column("user_name", String(64)),
    # Empty for most orders, as are the next two. The address is in lower case here, to be found; `details` has all
    # details as they were sent, as JSON.
    Column("external_id", String(128)),
    Column("email", String(254)),
    Column("details", Text),
    PrimaryKeyConstraint("id", name="orders_pk"),
    CheckConstraint("user_id > 0", name="orders_user_is_positive"),
    CheckConstraint(one_of("status", OrderStatus), name="orders_status_is_known"),
    CheckConstraint("total >= 0", name="orders_total_is_not_negative"),
    CheckConstraint("length(currency) = 3", name="orders_currency_is_a_code"),
    CheckConstraint("version >= 0", name="orders_version_is_not_negative"),
    CheckConstraint(
        f"NOT holds_stock OR {one_of('status', MAY_HOLD_STOCK)}", name="orders_hold_stock_while_it_is_theirs"
    ),
    # A page of a list is a stretch of one of these, read backwards.
    Index("orders_by_time", "created_at", "id", postgresql_where=NOT_DELETED, sqlite_where=NOT_DELETED),
    Index("orders_by_user", "user_id", "created_at", "id", postgresql_where=NOT_DELETED, sqlite_where=NOT_DELETED),
    Index("orders_by_status", "status", "created_at", "id", postgresql_where=NOT_DELETED, sqlite_where=NOT_DELETED),
    # By the number of a customer alone, also of one with a name: that two of them share it happens once in 2^63.
    Index(
        "orders_by_external_id",
        "external_id",
        "user_id",
        unique=True,
        postgresql_where=NAMED,
        sqlite_where=NAMED,
    ),
    Index("orders_by_email", "email", "created_at", "id", postgresql_where=MAILED, sqlite_where=MAILED),
    Index("orders_unpaid", "recorded_at", "id", postgresql_where=UNPAID, sqlite_where=UNPAID),
    Index("orders_waiting_by_time", "updated_at", "id", postgresql_where=WAITING, sqlite_where=WAITING),
)

order_items: Final = Table(
    "order_items",
    metadata,
    Column("order_id", Id, nullable=False),
    Column("position", SmallInteger, nullable=False, autoincrement=False),
    Column("product_id", BigInteger, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price", BigInteger, nullable=False),
    PrimaryKeyConstraint("order_id", "position", name="order_items_pk"),
    ForeignKeyConstraint(["order_id"], ["orders.id"], name="order_items_belong_to_an_order"),
    ForeignKeyConstraint(["product_id"], ["products.id"], name="order_items_are_of_a_product"),
    CheckConstraint("position >= 0", name="order_items_position_is_not_negative"),
    CheckConstraint("quantity > 0", name="order_items_quantity_is_positive"),
    CheckConstraint("unit_price >= 0", name="order_items_price_is_not_negative"),
    sqlite_with_rowid=False,
)

payments: Final = Table(
    "payments",
    metadata,
    Column("id", Id, nullable=False),
    Column("order_id", Id, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", CHAR(3), nullable=False),
    Column("status", String(16), nullable=False),
    Column("provider_reference", Text),
    PrimaryKeyConstraint("id", name="payments_pk"),
    ForeignKeyConstraint(["order_id"], ["orders.id"], name="payments_are_for_an_order"),
    CheckConstraint("amount >= 0", name="payments_amount_is_not_negative"),
    CheckConstraint("length(currency) = 3", name="payments_currency_is_a_code"),
    CheckConstraint(one_of("status", PaymentStatus), name="payments_status_is_known"),
    # The last word against charging twice: a second attempt has to wait until the first has come to nothing.
    Index(
        "payments_one_open_for_an_order",
        "order_id",
        unique=True,
        postgresql_where=_OPEN,
        sqlite_where=_OPEN,
    ),
)
