"""Tables of jobs and of messages."""

from typing import Final

import sqlalchemy as sa
from alembic import op

from adapters.sql.core.types import Id, UtcDateTime

revision: Final = "0019"
down_revision: Final = "0018"
branch_labels: Final = None
depends_on: Final = None

_WAITING: Final = sa.text("status IN ('AVAILABLE', 'RETRYABLE')")
_SCHEDULED: Final = sa.text("status = 'SCHEDULED'")
_EXECUTING: Final = sa.text("status = 'EXECUTING'")
_FINISHED: Final = sa.text("finished_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", Id(), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("order_id", Id()),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger()),
        sa.Column("result", sa.Text()),
        sa.Column("available_at", UtcDateTime(), nullable=False),
        sa.Column("leased_until", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime()),
        sa.Column("finished_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name="jobs_pk"),
        sa.CheckConstraint(
            "status IN ('SCHEDULED', 'AVAILABLE', 'EXECUTING', 'RETRYABLE', 'COMPLETED', 'CANCELLED', 'DISCARDED')",
            name="jobs_status_is_known",
        ),
        sa.CheckConstraint(
            "(status IN ('COMPLETED', 'CANCELLED', 'DISCARDED')) = (finished_at IS NOT NULL)", name="jobs_end_once"
        ),
    )
    for name, columns, condition in (
        ("jobs_due", ["available_at", "id"], _WAITING),
        ("jobs_scheduled", ["available_at", "id"], _SCHEDULED),
        ("jobs_executing", ["leased_until"], _EXECUTING),
        ("jobs_finished", ["finished_at"], _FINISHED),
    ):
        op.create_index(name, "jobs", columns, postgresql_where=condition, sqlite_where=condition)
    op.create_index("jobs_by_time", "jobs", ["created_at", "id"])
    op.create_index("jobs_by_status", "jobs", ["status", "created_at", "id"])
    op.create_index("jobs_by_kind", "jobs", ["kind", "created_at", "id"])
    op.create_index("jobs_by_kind_and_status", "jobs", ["kind", "status", "created_at", "id"])
    op.create_table(
        "messages",
        sa.Column("id", Id(), nullable=False),
        sa.Column("order_id", Id()),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="messages_pk"),
    )
    op.create_index("messages_by_time", "messages", ["created_at", "id"])
    op.create_index("messages_by_order", "messages", ["order_id", "created_at", "id"])
