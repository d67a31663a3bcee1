"""The feed of events."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
)

from adapters.sql.core.types import Id, UtcDateTime
from adapters.sql.tables.base import ROWS_LEAVE_SOON, Counter, mark_of, metadata

# The events that have no position in the feed yet, a row for those that were written together: rows of their own would
# cost each event as much as its place in the feed. `id` is never used again, as in the outbox.
feed_queue: Final = Table(
    "feed_queue",
    metadata,
    Column("id", Counter, Identity(always=True), nullable=False),
    # JSON: order, sequence and type of each.
    Column("events", Text, nullable=False),
    PrimaryKeyConstraint("id", name="feed_queue_pk"),
    sqlite_autoincrement=True,
    postgresql_with=ROWS_LEAVE_SOON,
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

feed_queue_mark: Final = mark_of("feed_queue")
