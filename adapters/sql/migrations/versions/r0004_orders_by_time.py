"""Indexes for lists by time: an id need not rise with it."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"
branch_labels: Final = None
depends_on: Final = None

_NOT_DELETED: Final = "NOT deleted"
_INDEXES: Final = {
    "orders_by_time": (["created_at", "id"], _NOT_DELETED),
    "orders_by_user": (["user_id", "created_at", "id"], _NOT_DELETED),
    "orders_by_status": (["status", "created_at", "id"], _NOT_DELETED),
    "orders_unpaid": (["created_at", "id"], "status = 'PENDING' AND NOT deleted"),
    "orders_waiting": (
        ["id", "updated_at"],
        "(status = 'PROCESSING' OR (refund_requested AND status <> 'REFUNDED'))",
    ),
}


def upgrade() -> None:
    for name in ("orders_by_user", "orders_by_status", "orders_unpaid", "orders_waiting"):
        op.drop_index(name, "orders")
    for name, (columns, condition) in _INDEXES.items():
        op.create_index(name, "orders", columns, postgresql_where=sa.text(condition), sqlite_where=sa.text(condition))
