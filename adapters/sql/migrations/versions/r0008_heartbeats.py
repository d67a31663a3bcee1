"""Who is at work: heartbeats of workers and relays."""

from typing import Final

import sqlalchemy as sa
from alembic import op

from adapters.sql.core.types import UtcDateTime

revision: Final = "0008"
down_revision: Final = "0007"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "heartbeats",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("instance", sa.String(length=200), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "instance", name="heartbeats_pk"),
    )
