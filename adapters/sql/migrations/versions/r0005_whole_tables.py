"""Indexes for what read through the whole outbox and all dead letters, and none for what nobody asks."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0005"
down_revision: Final = "0004"
branch_labels: Final = None
depends_on: Final = None

_UNDECIDED: Final = "decision IS NULL"


def upgrade() -> None:
    op.create_index("outbox_by_event", "outbox", ["order_id", "sequence"])
    op.create_index(
        "dead_letters_waiting",
        "dead_letters",
        ["id"],
        postgresql_where=sa.text(_UNDECIDED),
        sqlite_where=sa.text(_UNDECIDED),
    )
    # Payments are always asked for by their own id.
    op.drop_index("payments_by_order", "payments")
