"""The tables as the code of this version expects them. Migrations bring a database here; a test compares the two."""

from collections.abc import Iterable
from enum import StrEnum
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
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

from adapters.sql.core.types import Id, UtcDateTime
from application.jobs.kinds import CHANGE_ORDER
from application.ports.api_keys import ID_LENGTH
from domain.dead_letter import Decision
from domain.jobs.job import FINISHED, JobStatus
from domain.jobs.job import WAITING as WAITING_JOBS
from domain.orders.status import HAS_MONEY, LIFE, MAY_EXPIRE, MAY_HOLD_STOCK, WAITS_FOR_WORKER, OrderStatus
from domain.payments.payment import PaymentStatus

metadata: Final = MetaData()

# SQLite counts up by itself only in a column that is INTEGER to the letter.
_Counter: Final = BigInteger().with_variant(Integer(), "sqlite")


def _is(column: str, values: Iterable[StrEnum]) -> str:
    """A condition, in the words in which the migrations have it: in the order in which the values were declared."""
    wanted = set(values)
    declared = [f"'{value}'" for value in type(next(iter(wanted))) if value in wanted]
    return f"{column} IN ({', '.join(declared)})" if len(declared) > 1 else f"{column} = {declared[0]}"


# What may yet become a charge, or is one.
_OPEN_PAYMENTS: Final = {payment for status in WAITS_FOR_WORKER | HAS_MONEY if (payment := LIFE[status].payment)}

# An index serves a query only when both state their condition in the same words.
NOT_DELETED: Final = text("NOT deleted")
NAMED: Final = text("external_id IS NOT NULL AND NOT deleted")
MAILED: Final = text("email IS NOT NULL AND NOT deleted")
UNPAID: Final = text(f"{_is('status', MAY_EXPIRE)} AND NOT deleted")
WAITING: Final = text(
    f"({_is('status', WAITS_FOR_WORKER)} OR (refund_requested AND status <> '{OrderStatus.REFUNDED}'))"
)
UNDECIDED: Final = text("decision IS NULL")
JOB_WAITING: Final = text(_is("status", WAITING_JOBS - {JobStatus.SCHEDULED}))
JOB_SCHEDULED: Final = text(_is("status", {JobStatus.SCHEDULED}))
JOB_EXECUTING: Final = text(_is("status", {JobStatus.EXECUTING}))
JOB_FINISHED: Final = text("finished_at IS NOT NULL")
# Changes of orders that wait for their turn.
JOB_CHANGES: Final = text(f"kind = '{CHANGE_ORDER}' AND finished_at IS NULL")
_OPEN: Final = text(_is("status", _OPEN_PAYMENTS))

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
    CheckConstraint(_is("status", OrderStatus), name="orders_status_is_known"),
    CheckConstraint("total >= 0", name="orders_total_is_not_negative"),
    CheckConstraint("length(currency) = 3", name="orders_currency_is_a_code"),
    CheckConstraint("version >= 0", name="orders_version_is_not_negative"),
    CheckConstraint(f"NOT holds_stock OR {_is('status', MAY_HOLD_STOCK)}", name="orders_hold_stock_while_it_is_theirs"),
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
    # Paged by id; the moment stands beside it, so that no row is visited that is not due.
    Index("orders_waiting", "id", "updated_at", postgresql_where=WAITING, sqlite_where=WAITING),
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
    CheckConstraint(_is("status", PaymentStatus), name="payments_status_is_known"),
    # The last word against charging twice: a second attempt has to wait until the first has come to nothing.
    Index(
        "payments_one_open_for_an_order",
        "order_id",
        unique=True,
        postgresql_where=_OPEN,
        sqlite_where=_OPEN,
    ),
)

# Written in the same transaction as the order: a foreign key would find nothing, and cost a look-up for each event.
order_events: Final = Table(
    "order_events",
    metadata,
    Column("order_id", Id, nullable=False),
    Column("sequence", Integer, nullable=False, autoincrement=False),
    Column("type", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("order_id", "sequence", name="order_events_pk"),
    CheckConstraint("sequence > 0", name="order_events_sequence_is_positive"),
    sqlite_with_rowid=False,
)

# A position is never used again, on SQLite neither: a relay that was too slow would remove somebody else's event.
outbox: Final = Table(
    "outbox",
    metadata,
    Column("position", _Counter, Identity(always=True), nullable=False),
    Column("order_id", Id, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("type", String(64), nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("position", name="outbox_pk"),
    # Whether an event is here still: while the broker is away, there is much to look through.
    Index("outbox_by_event", "order_id", "sequence"),
    sqlite_autoincrement=True,
    # Every row is deleted soon: clean up by count, not by a share of a size that is always about none, and fast.
    postgresql_with={
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_threshold": "5000",
        "autovacuum_vacuum_cost_delay": "0",
    },
)

# What others' queues have refused, and the later ones of the same orders: taken out of the outbox, which stays short.
# `position` is that of the outbox.
announcements: Final = Table(
    "announcements",
    metadata,
    Column("position", BigInteger, nullable=False, autoincrement=False),
    Column("order_id", Id, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("type", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("position", name="announcements_pk"),
    # Whether an order has one, for each entry that is claimed.
    Index("announcements_by_order", "order_id", "position"),
    Index("announcements_by_time", "not_before"),
)

# Work that its queue has refused, taken out of the outbox. `position` is that of the outbox.
waiting_work: Final = Table(
    "waiting_work",
    metadata,
    Column("position", BigInteger, nullable=False, autoincrement=False),
    Column("order_id", Id, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("type", String(64), nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("position", name="waiting_work_pk"),
    Index("waiting_work_by_type", "type", "position"),
    # Whether an event is here still, before it is put into the outbox again.
    Index("waiting_work_by_event", "order_id", "sequence"),
)

# The events that have no position in the feed yet, a row for those that were written together: rows of their own would
# cost each event as much as its place in the feed. `id` is never used again, as in the outbox.
feed_queue: Final = Table(
    "feed_queue",
    metadata,
    Column("id", _Counter, Identity(always=True), nullable=False),
    # JSON: order, sequence and type of each.
    Column("events", Text, nullable=False),
    PrimaryKeyConstraint("id", name="feed_queue_pk"),
    sqlite_autoincrement=True,
    # As in the outbox.
    postgresql_with={
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_threshold": "5000",
        "autovacuum_vacuum_cost_delay": "0",
    },
)

# The data of an event is in the history. The time is that of the database, when the position was given.
feed: Final = Table(
    "feed",
    metadata,
    Column("position", BigInteger, nullable=False, autoincrement=False),
    Column("order_id", Id, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("type", String(64), nullable=False),
    Column("given_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("position", name="feed_pk"),
    # Unique: the last word against giving two positions to one event.
    Index("feed_by_event", "order_id", "sequence", unique=True),
)

# One row: the last position that was given, and the last one that was pruned.
feed_head: Final = Table(
    "feed_head",
    metadata,
    Column("id", SmallInteger, nullable=False, autoincrement=False),
    Column("given", BigInteger, nullable=False),
    Column("pruned", BigInteger, nullable=False),
    PrimaryKeyConstraint("id", name="feed_head_pk"),
    CheckConstraint("id = 1", name="feed_head_is_one"),
    CheckConstraint("pruned <= given", name="feed_head_pruned_was_given"),
)


def _mark_of(queue: str) -> Table:
    """One row: see `repositories/low_water_mark.py`."""
    name = f"{queue}_mark"
    return Table(
        name,
        metadata,
        Column("id", SmallInteger, nullable=False, autoincrement=False),
        Column("position", BigInteger, nullable=False),
        Column("noted", BigInteger, nullable=False),
        Column("writers", Text, nullable=False),
        PrimaryKeyConstraint("id", name=f"{name}_pk"),
        CheckConstraint("id = 1", name=f"{name}_is_one"),
    )


outbox_mark: Final = _mark_of("outbox")
feed_queue_mark: Final = _mark_of("feed_queue")

# Not used any more: what is due is read from the orders. Workers of the previous release, which may run beside those of
# this one, still write it.
inbox: Final = Table(
    "inbox",
    metadata,
    Column("consumer", String(64), nullable=False),
    Column("order_id", Id, nullable=False),
    Column("sequence", Integer, nullable=False),
    PrimaryKeyConstraint("consumer", "order_id", "sequence", name="inbox_pk"),
    sqlite_with_rowid=False,
)

# Written once and never again. The answer is what it was at that time, whatever has become of its order since.
idempotency_keys: Final = Table(
    "idempotency_keys",
    metadata,
    Column("scope", String(64), nullable=False),
    Column("key", String(255), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("answer", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("scope", "key", name="idempotency_keys_pk"),
    sqlite_with_rowid=False,
)

# What waits for a decision, and what was decided, by whom and when: no row is ever removed.
dead_letters: Final = Table(
    "dead_letters",
    metadata,
    Column("id", _Counter, Identity(always=True), nullable=False),
    Column("consumer", String(64), nullable=False),
    Column("digest", CHAR(64), nullable=False),
    # As it came: whatever it is, a person should see it.
    Column("body", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("first_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Column("decision", String(16)),
    Column("decided_by", String(200)),
    Column("decided_at", UtcDateTime),
    PrimaryKeyConstraint("id", name="dead_letters_pk"),
    CheckConstraint("attempts > 0", name="dead_letters_were_tried"),
    CheckConstraint(_is("decision", Decision), name="dead_letters_decision_is_known"),
    CheckConstraint(
        "(decision IS NULL) = (decided_by IS NULL) AND (decision IS NULL) = (decided_at IS NULL)",
        name="dead_letters_are_decided_by_somebody",
    ),
    # A message that comes again while it waits is the same letter.
    Index(
        "dead_letters_one_waiting",
        "consumer",
        "digest",
        unique=True,
        postgresql_where=UNDECIDED,
        sqlite_where=UNDECIDED,
    ),
    # Those that wait are few, among all that were ever decided.
    Index("dead_letters_waiting", "id", postgresql_where=UNDECIDED, sqlite_where=UNDECIDED),
    sqlite_autoincrement=True,
)

stock_adjustments: Final = Table(
    "stock_adjustments",
    metadata,
    Column("id", _Counter, Identity(always=True), nullable=False),
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

# The shop was open: one row for each time between two outages. A customer's time to pay passes in no other time.
open_periods: Final = Table(
    "open_periods",
    metadata,
    Column("since", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("since", name="open_periods_pk"),
)

# One row, made with the table: what tells this shop from any other, wherever else there is something of it.
shop: Final = Table(
    "shop",
    metadata,
    Column("id", Id, nullable=False),
    # When it was emptied last: what was accepted before is not recorded.
    Column("reset_at", UtcDateTime),
    PrimaryKeyConstraint("id", name="shop_pk"),
)

# Work for later. What has ended is removed after some time. A worker looks at the three stretches of `jobs_due`,
# `jobs_scheduled` and `jobs_executing` whose time has come, and walks past nothing that was done.
jobs: Final = Table(
    "jobs",
    metadata,
    Column("id", Id, nullable=False),
    Column("kind", String(64), nullable=False),
    # JSON.
    Column("arguments", Text, nullable=False),
    Column("order_id", Id),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("error", Text),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger),
    # JSON.
    Column("result", Text),
    Column("available_at", UtcDateTime, nullable=False),
    Column("leased_until", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    PrimaryKeyConstraint("id", name="jobs_pk"),
    CheckConstraint(_is("status", JobStatus), name="jobs_status_is_known"),
    CheckConstraint(f"({_is('status', FINISHED)}) = (finished_at IS NOT NULL)", name="jobs_end_once"),
    Index("jobs_due", "available_at", "id", postgresql_where=JOB_WAITING, sqlite_where=JOB_WAITING),
    Index("jobs_scheduled", "available_at", "id", postgresql_where=JOB_SCHEDULED, sqlite_where=JOB_SCHEDULED),
    Index("jobs_executing", "leased_until", postgresql_where=JOB_EXECUTING, sqlite_where=JOB_EXECUTING),
    Index("jobs_finished", "finished_at", postgresql_where=JOB_FINISHED, sqlite_where=JOB_FINISHED),
    Index("jobs_changes", "order_id", postgresql_where=JOB_CHANGES, sqlite_where=JOB_CHANGES),
    # A page of a list is a stretch of one of these, read backwards.
    Index("jobs_by_time", "created_at", "id"),
    Index("jobs_by_status", "status", "created_at", "id"),
    Index("jobs_by_kind", "kind", "created_at", "id"),
    Index("jobs_by_kind_and_status", "kind", "status", "created_at", "id"),
)

messages: Final = Table(
    "messages",
    metadata,
    Column("id", Id, nullable=False),
    Column("order_id", Id),
    Column("content", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("id", name="messages_pk"),
    Index("messages_by_time", "created_at", "id"),
    Index("messages_by_order", "order_id", "created_at", "id"),
)

# What exports have written and imports were given, for all processes: they share no disk. A file is its parts, each
# compressed; `start` and `length` are in bytes of the file itself.
files: Final = Table(
    "files",
    metadata,
    Column("job_id", Id, nullable=False),
    Column("name", String(16), nullable=False),
    Column("size", BigInteger, nullable=False),
    # JSON.
    Column("state", Text, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("job_id", "name", name="files_pk"),
    Index("files_by_time", "changed_at"),
)

file_parts: Final = Table(
    "file_parts",
    metadata,
    Column("job_id", Id, nullable=False),
    Column("name", String(16), nullable=False),
    Column("start", BigInteger, nullable=False, autoincrement=False),
    Column("length", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("job_id", "name", "start", name="file_parts_pk"),
)

leases: Final = Table(
    "leases",
    metadata,
    Column("name", String(64), nullable=False),
    Column("holder", String(200), nullable=False),
    Column("until", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("name", name="leases_pk"),
)

# All but the keys themselves. No row is ever removed, so that whoever did something can be named for good.
api_keys: Final = Table(
    "api_keys",
    metadata,
    Column("id", String(ID_LENGTH), nullable=False),
    Column("digest", CHAR(64), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("role", String(16), nullable=False),
    Column("name", String(200), nullable=False),
    # With spaces between them, as OAuth writes scopes.
    Column("scopes", Text, nullable=False),
    # A number or a name, as it is written.
    Column("user_id", String(64)),
    Column("networks", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    PrimaryKeyConstraint("id", name="api_keys_pk"),
)

# No row is ever changed or removed.
audit: Final = Table(
    "audit",
    metadata,
    Column("id", _Counter, Identity(always=True), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("key_id", String(200), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(100), nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("reason", String(200), nullable=False),
    PrimaryKeyConstraint("id", name="audit_pk"),
    Index("audit_by_subject", "subject", "id"),
    sqlite_autoincrement=True,
)

heartbeats: Final = Table(
    "heartbeats",
    metadata,
    Column("kind", String(16), nullable=False),
    Column("instance", String(200), nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("kind", "instance", name="heartbeats_pk"),
)
