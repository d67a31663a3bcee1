"""Which tables are there, and whether this release can work on them.

A database has two numbers beside each other. Its revision says which migrations were applied, as Alembic notes it. Its
window says the oldest release that its tables still serve: a migration adds first, and takes away later, when no older
release is at work any more. So a release may find tables that are newer than its own, and works on them.
"""

from typing import Final

from attrs import frozen
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.connecting import connected
from adapters.sql.revisions import newest

_WINDOW: Final = "schema_window"
READ_WINDOW: Final = text(f"SELECT serves, contracted FROM {_WINDOW}")  # noqa: S608 - a name of ours


@frozen(kw_only=True)
class Schema:
    """What the database says of its tables."""

    # None: there are no tables yet.
    revision: str | None
    # The oldest release that they serve, by its revision. None: they are from before there was a window.
    serves: str | None = None
    # The newest revision whose second half is done, too (`contract`). None as above.
    contracted: str | None = None

    @property
    def is_newer(self) -> bool:
        """Whether they have migrations that this release doesn't know."""
        return self.revision is not None and self.revision > newest()

    def problem(self) -> str | None:
        """Why this release can't work on the tables, in words for a person, or None."""
        needed = newest()
        if self.revision is None:
            return "there are no tables yet: run `holdfast migrate`"
        if self.revision < needed:
            return (
                f"the tables are at revision {self.revision}, this version needs {needed}: run `holdfast migrate`, or"
                " `holdfast migrate --expand` while an earlier release is at work"
            )
        return self.closed() if self.is_newer else None

    def closed(self) -> str | None:
        """Why the tables of a later release don't serve this one, in words for a person, or None."""
        return closed_for(self.serves) if self.serves is None or self.serves > newest() else None


def closed_for(serves: str | None) -> str:
    what = "don't say which releases they serve" if serves is None else f"serve releases from revision {serves} on"
    return (
        f"the tables are a later release's, and {what}; this version is of revision {newest()}: start the later release"
    )


async def schema_problem(engine: AsyncEngine) -> str | None:
    """Why this release can't work on the tables, in words for a person, or None. Raise `Unavailable`."""
    async with connected(engine, reading=True) as connection:
        return (await connection.run_sync(schema_of)).problem()


def schema_of(connection: Connection) -> Schema:
    there = inspect(connection)
    if not there.has_table("alembic_version"):
        return Schema(revision=None)
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if revision is None or not there.has_table(_WINDOW):
        return Schema(revision=revision)
    row = connection.execute(READ_WINDOW).first()
    if row is None:
        return Schema(revision=revision)
    return Schema(revision=revision, serves=row.serves, contracted=row.contracted)


def current_revision(connection: Connection) -> str | None:
    """None: there are no tables yet."""
    return schema_of(connection).revision
