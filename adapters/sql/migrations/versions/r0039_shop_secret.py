"""A secret of the shop, which signs what its processes accept while the database is away."""

from secrets import token_hex
from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0039"
down_revision: Final = "0038"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.add_column("shop", sa.Column("secret", sa.String(64)))
    shop = sa.table("shop", sa.column("secret"))
    op.execute(sa.update(shop).values(secret=token_hex(32)))
