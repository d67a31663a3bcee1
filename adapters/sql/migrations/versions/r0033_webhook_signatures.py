"""How each receiver of webhooks knows that a message is the shop's."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0033"
down_revision: Final = "0032"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    # The release before adds endpoints without it.
    op.add_column(
        "webhook_endpoints", sa.Column("signature", sa.String(length=16), nullable=False, server_default="v1")
    )
