"""An index of the replayed dead letters, by which one that fails again is known."""

from typing import Final

from adapters.sql.migrations.steps import BuildIndex

revision: Final = "0031"
down_revision: Final = "0030"
branch_labels: Final = None
depends_on: Final = None

before_upgrade: Final = (
    BuildIndex(
        name="dead_letters_replayed",
        table="dead_letters",
        columns=["consumer", "digest"],
        where="decision = 'REPLAYED'",
    ),
)


def upgrade() -> None:
    """Nothing more."""
