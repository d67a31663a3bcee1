"""An index of the changes that wait for their orders."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0026"
down_revision: Final = "0025"
branch_labels: Final = None
depends_on: Final = None

_CHANGES: Final = sa.text("kind = 'change_order' AND finished_at IS NULL")


def upgrade() -> None:
    op.create_index("jobs_changes", "jobs", ["order_id"], postgresql_where=_CHANGES, sqlite_where=_CHANGES)
