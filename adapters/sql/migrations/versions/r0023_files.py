"""Tables of what exports have written and imports were given."""

from typing import Final

import sqlalchemy as sa
from alembic import op

from adapters.sql.core.types import Id, UtcDateTime

revision: Final = "0023"
down_revision: Final = "0022"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("job_id", Id(), nullable=False),
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "name", name="files_pk"),
    )
    op.create_index("files_by_time", "files", ["changed_at"])
    op.create_table(
        "file_parts",
        sa.Column("job_id", Id(), nullable=False),
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "name", "start", name="file_parts_pk"),
    )
