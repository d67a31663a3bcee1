"""What the last consistency check has found, by kind, for the metrics."""

from typing import Final

import sqlalchemy as sa
from alembic import op

from adapters.sql.core.types import UtcDateTime

revision: Final = "0028"
down_revision: Final = "0027"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "consistency_checks",
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.Column("compared_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("kind", name="consistency_checks_pk"),
    )
