"""A table of dead letters."""

from typing import Final

import sqlalchemy as sa
from alembic import op

from adapters.sql.core.types import UtcDateTime

revision: Final = "0003"
down_revision: Final = "0002"
branch_labels: Final = None
depends_on: Final = None

_COUNTER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("id", _COUNTER, sa.Identity(always=True), nullable=False),
        sa.Column("consumer", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.CHAR(length=64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("first_at", UtcDateTime(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=True),
        sa.Column("decided_by", sa.String(length=200), nullable=True),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("attempts > 0", name="dead_letters_were_tried"),
        sa.CheckConstraint("decision IN ('REPLAYED', 'DISCARDED')", name="dead_letters_decision_is_known"),
        sa.CheckConstraint(
            "(decision IS NULL) = (decided_by IS NULL) AND (decision IS NULL) = (decided_at IS NULL)",
            name="dead_letters_are_decided_by_somebody",
        ),
        sa.PrimaryKeyConstraint("id", name="dead_letters_pk"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "dead_letters_one_waiting",
        "dead_letters",
        ["consumer", "digest"],
        unique=True,
        postgresql_where=sa.text("decision IS NULL"),
        sqlite_where=sa.text("decision IS NULL"),
    )
