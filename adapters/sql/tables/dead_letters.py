"""Messages that wait for a decision."""

from typing import Final

from sqlalchemy import (
    CHAR,
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

from adapters.sql.core.types import UtcDateTime
from adapters.sql.tables.base import Counter, metadata, one_of
from domain.dead_letter import Decision

UNDECIDED: Final = text("decision IS NULL")
REPLAYED: Final = text("decision = 'REPLAYED'")

# What waits for a decision, and what was decided, by whom and when: no row is ever removed.
dead_letters: Final = Table(
    "dead_letters",
    metadata,
    Column("id", Counter, Identity(always=True), nullable=False),
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
    CheckConstraint(one_of("decision", Decision), name="dead_letters_decision_is_known"),
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
    # Whether a message that waits was replayed before.
    Index("dead_letters_replayed", "consumer", "digest", postgresql_where=REPLAYED, sqlite_where=REPLAYED),
    sqlite_autoincrement=True,
)
