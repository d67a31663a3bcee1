"""The receivers of webhooks, and what they were sent."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

from adapters.sql.core.types import Id, UtcDateTime
from adapters.sql.tables.base import metadata, one_of
from domain.webhooks.delivery import OPEN, DeliveryStatus

DELIVERY_OPEN: Final = text(one_of("status", OPEN))
NOT_DELIVERED: Final = text(f"status <> '{DeliveryStatus.DELIVERED}'")

# No row is ever removed, so that what was sent can be told of. A deleted one has no secrets any more.
webhook_endpoints: Final = Table(
    "webhook_endpoints",
    metadata,
    Column("id", Id, nullable=False),
    Column("url", Text, nullable=False),
    Column("description", String(200), nullable=False),
    # JSON, as are the headers, and the secrets with their ends.
    Column("events", Text, nullable=False),
    Column("payload", String(16), nullable=False),
    Column("ordering", String(16), nullable=False),
    Column("headers", Text, nullable=False),
    Column("rate_per_s", Integer),
    Column("max_concurrency", Integer, nullable=False),
    Column("secrets", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("disabled", String(16)),
    Column("disabled_at", UtcDateTime),
    Column("deleted_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("signature", String(16), nullable=False),
    PrimaryKeyConstraint("id", name="webhook_endpoints_pk"),
)

# What changes with each round of an endpoint, apart from what a person has chosen. There are few rows, and each look
# reads them all.
webhook_progress: Final = Table(
    "webhook_progress",
    metadata,
    Column("endpoint_id", Id, nullable=False),
    Column("began_after", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("skip_to", BigInteger, nullable=False),
    Column("filtered", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
    Column("removed", BigInteger, nullable=False),
    Column("removed_to", BigInteger, nullable=False),
    Column("chosen_after", BigInteger, nullable=False),
    Column("chosen_by", Integer, nullable=False),
    Column("due_at", UtcDateTime),
    Column("rests_until", UtcDateTime),
    Column("failures", Integer, nullable=False),
    Column("rests", Integer, nullable=False),
    Column("failing_since", UtcDateTime),
    Column("paced_until", UtcDateTime),
    Column("ready_at", UtcDateTime),
    Column("is_troubled", Boolean, nullable=False),
    Column("served_at", UtcDateTime),
    Column("served_by", String(200)),
    Column("leased_until", UtcDateTime),
    PrimaryKeyConstraint("endpoint_id", name="webhook_progress_pk"),
)

# A row is written when the first round with its event has ended, as a rule once and for all.
webhook_deliveries: Final = Table(
    "webhook_deliveries",
    metadata,
    Column("endpoint_id", Id, nullable=False),
    Column("position", BigInteger, nullable=False, autoincrement=False),
    Column("order_id", Id, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("type", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("status", String(16), nullable=False),
    Column("reason", String(32)),
    Column("tries", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("outcome", String(200), nullable=False),
    Column("next_at", UtcDateTime),
    Column("slow_from", UtcDateTime),
    Column("finished_at", UtcDateTime),
    # Each attempt as a line of JSON, so that one is added without reading the others.
    Column("log", Text, nullable=False),
    PrimaryKeyConstraint("endpoint_id", "position", name="webhook_deliveries_pk"),
    CheckConstraint(one_of("status", DeliveryStatus), name="webhook_deliveries_status_is_known"),
    CheckConstraint(f"({one_of('status', OPEN)}) = (finished_at IS NULL)", name="webhook_deliveries_end_once"),
    CheckConstraint(f"({one_of('status', OPEN)}) = (next_at IS NOT NULL)", name="webhook_deliveries_go_on"),
    Index("webhook_deliveries_by_order", "order_id", "endpoint_id", "position"),
    Index(
        "webhook_deliveries_open",
        "endpoint_id",
        "next_at",
        postgresql_where=DELIVERY_OPEN,
        sqlite_where=DELIVERY_OPEN,
    ),
    Index(
        "webhook_deliveries_missing",
        "endpoint_id",
        "position",
        postgresql_where=NOT_DELIVERED,
        sqlite_where=NOT_DELIVERED,
    ),
)
