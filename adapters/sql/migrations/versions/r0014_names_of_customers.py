"""A customer may be known by a name. The column is empty for all others, so a large table is changed at once."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0014"
down_revision: Final = "0013"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("user_name", sa.String(64)))
