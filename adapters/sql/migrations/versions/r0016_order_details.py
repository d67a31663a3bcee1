"""Orders may have details: an external id, an e-mail address, and the rest as one document.

The columns are empty for orders without them, so a large table is changed at once. The indexes begin empty.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0016"
down_revision: Final = "0015"
branch_labels: Final = None
depends_on: Final = None

_NAMED: Final = sa.text("external_id IS NOT NULL AND NOT deleted")
_MAILED: Final = sa.text("email IS NOT NULL AND NOT deleted")


def upgrade() -> None:
    op.add_column("orders", sa.Column("external_id", sa.String(128)))
    op.add_column("orders", sa.Column("email", sa.String(254)))
    op.add_column("orders", sa.Column("details", sa.Text()))
    op.create_index(
        "orders_by_external_id",
        "orders",
        ["external_id", "user_id"],
        unique=True,
        postgresql_where=_NAMED,
        sqlite_where=_NAMED,
    )
    op.create_index(
        "orders_by_email", "orders", ["email", "created_at", "id"], postgresql_where=_MAILED, sqlite_where=_MAILED
    )
