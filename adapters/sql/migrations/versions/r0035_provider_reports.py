"""Heartbeats tell how the calls to the payment provider go."""

from typing import Final

import sqlalchemy as sa
from alembic import op

from adapters.sql.core.types import UtcDateTime

revision: Final = "0035"
down_revision: Final = "0034"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.add_column("heartbeats", sa.Column("provider_answered_at", UtcDateTime()))
    op.add_column("heartbeats", sa.Column("provider_silent_since", UtcDateTime()))
    op.add_column("heartbeats", sa.Column("provider_failed_calls", sa.Integer()))
