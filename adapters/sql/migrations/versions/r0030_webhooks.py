"""Tables of the receivers of webhooks, and of what they were sent."""

from typing import Final

import sqlalchemy as sa
from alembic import op

from adapters.sql.core.types import Id, UtcDateTime

revision: Final = "0030"
down_revision: Final = "0029"
branch_labels: Final = None
depends_on: Final = None

_OPEN: Final = sa.text("status IN ('PENDING', 'RETRYING')")
_MISSING: Final = sa.text("status <> 'DELIVERED'")


def upgrade() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", Id(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.String(length=200), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("payload", sa.String(length=16), nullable=False),
        sa.Column("ordering", sa.String(length=16), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("rate_per_s", sa.Integer()),
        sa.Column("max_concurrency", sa.Integer(), nullable=False),
        sa.Column("secrets", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("disabled", sa.String(length=16)),
        sa.Column("disabled_at", UtcDateTime()),
        sa.Column("deleted_at", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="webhook_endpoints_pk"),
    )
    op.create_table(
        "webhook_progress",
        sa.Column("endpoint_id", Id(), nullable=False),
        sa.Column("began_after", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("skip_to", sa.BigInteger(), nullable=False),
        sa.Column("filtered", sa.BigInteger(), nullable=False),
        sa.Column("lost", sa.BigInteger(), nullable=False),
        sa.Column("removed", sa.BigInteger(), nullable=False),
        sa.Column("removed_to", sa.BigInteger(), nullable=False),
        sa.Column("chosen_after", sa.BigInteger(), nullable=False),
        sa.Column("chosen_by", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcDateTime()),
        sa.Column("rests_until", UtcDateTime()),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("rests", sa.Integer(), nullable=False),
        sa.Column("failing_since", UtcDateTime()),
        sa.Column("paced_until", UtcDateTime()),
        sa.Column("ready_at", UtcDateTime()),
        sa.Column("is_troubled", sa.Boolean(), nullable=False),
        sa.Column("served_at", UtcDateTime()),
        sa.Column("served_by", sa.String(length=200)),
        sa.Column("leased_until", UtcDateTime()),
        sa.PrimaryKeyConstraint("endpoint_id", name="webhook_progress_pk"),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("endpoint_id", Id(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("order_id", Id(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=32)),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=200), nullable=False),
        sa.Column("next_at", UtcDateTime()),
        sa.Column("slow_from", UtcDateTime()),
        sa.Column("finished_at", UtcDateTime()),
        sa.Column("log", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("endpoint_id", "position", name="webhook_deliveries_pk"),
        sa.CheckConstraint(
            "status IN ('PENDING', 'RETRYING', 'DELIVERED', 'EXHAUSTED', 'SKIPPED')",
            name="webhook_deliveries_status_is_known",
        ),
        sa.CheckConstraint(
            "(status IN ('PENDING', 'RETRYING')) = (finished_at IS NULL)", name="webhook_deliveries_end_once"
        ),
        sa.CheckConstraint(
            "(status IN ('PENDING', 'RETRYING')) = (next_at IS NOT NULL)", name="webhook_deliveries_go_on"
        ),
    )
    op.create_index("webhook_deliveries_by_order", "webhook_deliveries", ["order_id", "endpoint_id", "position"])
    for name, columns, condition in (
        ("webhook_deliveries_open", ["endpoint_id", "next_at"], _OPEN),
        ("webhook_deliveries_missing", ["endpoint_id", "position"], _MISSING),
    ):
        op.create_index(name, "webhook_deliveries", columns, postgresql_where=condition, sqlite_where=condition)
