"""API keys and the audit."""

from typing import Final

from sqlalchemy import (
    CHAR,
    Column,
    Identity,
    Index,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

from adapters.sql.core.types import UtcDateTime
from adapters.sql.tables.base import Counter, metadata
from application.ports.api_keys import ID_LENGTH

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

# What was signed out of the console before its time.
ended_sessions: Final = Table(
    "ended_sessions",
    metadata,
    Column("id", String(64), nullable=False),
    Column("until", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("id", name="ended_sessions_pk"),
    Index("ended_sessions_by_end", "until"),
    sqlite_with_rowid=False,
)

# No row is ever changed or removed.
audit: Final = Table(
    "audit",
    metadata,
    Column("id", Counter, Identity(always=True), nullable=False),
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
    Index("audit_by_request", "request_id", "id"),
    Index("audit_by_action", "action", "id"),
    sqlite_autoincrement=True,
)
