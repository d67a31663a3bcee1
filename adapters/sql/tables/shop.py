"""The shop itself: its processes, its leases, the times when it was open, and the responses under idempotency keys."""

from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
)

from adapters.sql.core.types import Id, UtcDateTime
from adapters.sql.tables.base import metadata

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
    # Where its database came from when its programs were last allowed to start. NULL: none has started yet.
    Column("lineage", Text),
    # 32 random bytes in hexadecimal digits, by which its processes know what one of them has accepted. NULL: an earlier
    # release made the row, and the migration of this one has not come to its end.
    Column("secret", String(64)),
    PrimaryKeyConstraint("id", name="shop_pk"),
)

leases: Final = Table(
    "leases",
    metadata,
    Column("name", String(64), nullable=False),
    Column("holder", String(200), nullable=False),
    Column("until", UtcDateTime, nullable=False),
    # When the holder took it, and not when it renewed it. NULL: an earlier release did not note it.
    Column("since", UtcDateTime),
    PrimaryKeyConstraint("name", name="leases_pk"),
)

heartbeats: Final = Table(
    "heartbeats",
    metadata,
    Column("kind", String(16), nullable=False),
    Column("instance", String(200), nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    # How its calls to the payment provider go, by its own clock. NULL: nothing to tell, as from an earlier release.
    Column("provider_answered_at", UtcDateTime),
    Column("provider_silent_since", UtcDateTime),
    Column("provider_failed_calls", Integer),
    PrimaryKeyConstraint("kind", "instance", name="heartbeats_pk"),
)

# A row for each kind of discrepancy, written by each consistency check.
consistency_checks: Final = Table(
    "consistency_checks",
    metadata,
    Column("kind", String(16), nullable=False),
    Column("found", Integer, nullable=False),
    # When it was compared last. NULL: never yet, since a part of what is compared could not be reached.
    Column("compared_at", UtcDateTime),
    PrimaryKeyConstraint("kind", name="consistency_checks_pk"),
)

# One row: the oldest release that the tables serve, and the newest revision whose second half is done. See `schema.py`.
schema_window: Final = Table(
    "schema_window",
    metadata,
    Column("id", SmallInteger, nullable=False, autoincrement=False),
    Column("serves", String(4), nullable=False),
    Column("contracted", String(4), nullable=False),
    PrimaryKeyConstraint("id", name="schema_window_pk"),
    CheckConstraint("id = 1", name="schema_window_is_one"),
)
