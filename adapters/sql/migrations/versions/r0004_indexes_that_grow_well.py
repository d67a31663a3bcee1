"""Indexes for lists by time, with which an id need not rise, and for whatever read through a table that grows."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0004"
down_revision: Final = "0003"
branch_labels: Final = None
depends_on: Final = None

_NOT_DELETED: Final = "NOT deleted"
_OF_ORDERS: Final = {
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
    for name, (columns, condition) in _OF_ORDERS.items():
        _create(name, "orders", columns, condition)
    op.create_index("outbox_by_event", "outbox", ["order_id", "sequence"])
    _create("dead_letters_waiting", "dead_letters", ["id"], "decision IS NULL")
    # Nobody ever asked for payments by their order.
    op.drop_index("payments_by_order", "payments")


def _create(name: str, table: str, columns: list[str], condition: str) -> None:
    op.create_index(name, table, columns, postgresql_where=sa.text(condition), sqlite_where=sa.text(condition))
