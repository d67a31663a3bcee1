"""An index of the audit, by which the changes of one request are found."""

from typing import Final

from adapters.sql.migrations.steps import BuildIndex

revision: Final = "0036"
down_revision: Final = "0035"
branch_labels: Final = None
depends_on: Final = None

before_upgrade: Final = (BuildIndex(name="audit_by_request", table="audit", columns=["request_id", "id"]),)


def upgrade() -> None:
    """Nothing more."""
