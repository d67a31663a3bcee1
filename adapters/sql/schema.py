from functools import cache
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.connecting import connected

_MIGRATIONS: Final = Path(__file__).parent / "migrations" / "versions"


@cache
def revisions() -> list[str]:
    """Of every migration, the oldest first; the newest makes what `tables/` describes.

    Their files are named for them. Alembic could tell, but takes half a second to be imported, and a start has no other
    use for it.
    """
    return sorted(file.name[1:5] for file in _MIGRATIONS.glob("r[0-9][0-9][0-9][0-9]_*.py"))


async def schema_problem(engine: AsyncEngine) -> str | None:
    """Why this version can't work on the tables, in words for a person, or None. Raise `Unavailable`."""
    async with connected(engine, reading=True) as connection:
        found = await connection.run_sync(current_revision)
    needed = revisions()[-1]
    if found == needed:
        return None
    if found is None:
        return "there are no tables yet: run `holdfast migrate`"
    if found < needed:
        return f"the tables are at revision {found}, this version needs {needed}: run `holdfast migrate`"
    return f"the tables are at revision {found}, which this version doesn't know: start the newer one that made it"


def current_revision(connection: Connection) -> str | None:
    """None: there are no tables yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision
