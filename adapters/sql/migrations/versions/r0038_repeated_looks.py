"""Indexes for looks that are repeated, by time, so that they need not begin with what was done long ago."""

from typing import Final

from alembic import op

from adapters.sql.migrations.steps import BuildIndex

revision: Final = "0038"
down_revision: Final = "0037"
branch_labels: Final = None
depends_on: Final = None

before_upgrade: Final = (
    BuildIndex(
        name="orders_waiting_by_time",
        table="orders",
        columns=["updated_at", "id"],
        where="(status = 'PROCESSING' OR (refund_requested AND status <> 'REFUNDED'))",
    ),
    BuildIndex(name="jobs_leased", table="jobs", columns=["leased_until", "id"], where="leased_until IS NOT NULL"),
)


def upgrade() -> None:
    """Nothing more."""


def contract() -> None:
    """The release before looks for orders by id, and for jobs by their status."""
    op.drop_index("orders_waiting", "orders")
    op.drop_index("jobs_executing", "jobs")
