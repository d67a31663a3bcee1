"""The history of orders, the outbox, and what has left it and still waits."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from adapters.sql.core.types import Id, UtcDateTime
from adapters.sql.tables.base import ROWS_LEAVE_SOON, Counter, mark_of, metadata

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
    Column("position", Counter, Identity(always=True), nullable=False),
    Column("order_id", Id, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("type", String(64), nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("position", name="outbox_pk"),
    # Whether an event is here still: while the broker is away, there is much to look through.
    Index("outbox_by_event", "order_id", "sequence"),
    sqlite_autoincrement=True,
    postgresql_with=ROWS_LEAVE_SOON,
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

outbox_mark: Final = mark_of("outbox")

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
