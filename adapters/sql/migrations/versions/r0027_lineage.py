"""A column for where the database came from, by which one that was restored from a backup is known."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0027"
down_revision: Final = "0026"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.add_column("shop", sa.Column("lineage", sa.Text()))
