"""A version of each product, which every change of it raises, so that the newest stock is known when two are seen."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0012"
down_revision: Final = "0011"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    # The release before this one, which may still run, inserts no version.
    op.add_column("products", sa.Column("version", sa.BigInteger(), nullable=False, server_default="1"))
