"""A column for when the shop was emptied."""

from typing import Final

import sqlalchemy as sa
from alembic import op

from adapters.sql.core.types import UtcDateTime

revision: Final = "0024"
down_revision: Final = "0023"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.add_column("shop", sa.Column("reset_at", UtcDateTime()))
