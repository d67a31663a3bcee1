"""A column for when a lease was taken, for the person who looks who leads."""

from typing import Final

import sqlalchemy as sa
from alembic import op

from adapters.sql.core.types import UtcDateTime

revision: Final = "0032"
down_revision: Final = "0031"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.add_column("leases", sa.Column("since", UtcDateTime()))
