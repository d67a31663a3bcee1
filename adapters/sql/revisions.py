"""The revisions of this code, which are the names of its migrations. Nothing of a database is needed to know them."""

from functools import cache
from pathlib import Path
from typing import Final

_MIGRATIONS: Final = Path(__file__).parent / "migrations" / "versions"


@cache
def revisions() -> list[str]:
    """Of every migration, the oldest first; the newest makes what `tables/` describes.

    Their files are named for them. Alembic could tell, but takes half a second to be imported, and a start has no other
    use for it.
    """
    return sorted(file.name[1:5] for file in _MIGRATIONS.glob("r[0-9][0-9][0-9][0-9]_*.py"))


def newest() -> str:
    """The revision of this code."""
    return revisions()[-1]
