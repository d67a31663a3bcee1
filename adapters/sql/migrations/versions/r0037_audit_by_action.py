"""An index of the audit, by which the entries of one action are found."""

from typing import Final

from adapters.sql.migrations.steps import BuildIndex

revision: Final = "0037"
down_revision: Final = "0036"
branch_labels: Final = None
depends_on: Final = None

before_upgrade: Final = (BuildIndex(name="audit_by_action", table="audit", columns=["action", "id"]),)


def upgrade() -> None:
    """Nothing more."""
