"""A row that says which releases the tables serve."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0029"
down_revision: Final = "0028"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    window = op.create_table(
        "schema_window",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("serves", sa.String(length=4), nullable=False),
        sa.Column("contracted", sa.String(length=4), nullable=False),
        sa.PrimaryKeyConstraint("id", name="schema_window_pk"),
        sa.CheckConstraint("id = 1", name="schema_window_is_one"),
    )
    op.bulk_insert(window, [{"id": 1, "serves": revision, "contracted": revision}])
