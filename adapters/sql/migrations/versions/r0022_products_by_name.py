"""An index of the names of products."""

from typing import Final

from alembic import op

revision: Final = "0022"
down_revision: Final = "0021"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_index("products_by_name", "products", ["name"])
