"""The time to pay begins when an order is recorded, and passes only while the shop is open."""

from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa
from alembic import op

from adapters.sql.core.types import UtcDateTime

revision: Final = "0006"
down_revision: Final = "0005"
branch_labels: Final = None
depends_on: Final = None

_UNPAID: Final = "status = 'PENDING' AND NOT deleted"


def upgrade() -> None:
    op.create_table(
        "open_periods",
        sa.Column("since", UtcDateTime(), nullable=False),
        sa.Column("until", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("since", name="open_periods_pk"),
    )
    # Orders that are there already count from now on. The release before this one, which may still run on PostgreSQL,
    # inserts no value. SQLite adds no column whose default is an expression.
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    default = sa.text(f"'{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}'") if is_sqlite else sa.func.now()
    op.add_column("orders", sa.Column("recorded_at", UtcDateTime(), nullable=False, server_default=default))
    op.drop_index("orders_unpaid", "orders")
    op.create_index(
        "orders_unpaid",
        "orders",
        ["recorded_at", "id"],
        postgresql_where=sa.text(_UNPAID),
        sqlite_where=sa.text(_UNPAID),
    )
