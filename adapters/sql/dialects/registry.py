"""Which database stands behind which URL. Only the one that is used is imported, with its driver."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sqlalchemy import URL, Dialect, make_url
from sqlalchemy.exc import ArgumentError

from adapters.sql.dialects.base import SqlDialect


def _postgresql() -> SqlDialect:
    from adapters.sql.dialects.postgresql.dialect import POSTGRESQL  # noqa: PLC0415 - see above

    return POSTGRESQL


def _sqlite() -> SqlDialect:
    from adapters.sql.dialects.sqlite.dialect import SQLITE  # noqa: PLC0415 - see above

    return SQLITE


# By the name that SQLAlchemy gives to each.
_LOADERS: Final[Mapping[str, Callable[[], SqlDialect]]] = MappingProxyType(
    {"postgresql": _postgresql, "sqlite": _sqlite}
)
_ALIASES: Final = MappingProxyType({"postgres": "postgresql"})


def parsed_url(url: str | URL) -> tuple[URL, SqlDialect]:
    """Raise `ValueError`."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Neither the URL nor the cause is repeated: there may be a password in it.
        raise ValueError("the database URL can't be read; it looks like postgresql://user@host:5432/name") from None
    name = parsed.drivername.partition("+")[0]
    name = _ALIASES.get(name, name)
    if name not in _LOADERS:
        raise ValueError(f"a database is postgresql:// or sqlite:///, not {parsed.drivername}://")
    return parsed, _loaded(name)


def dialect_of(dialect: Dialect) -> SqlDialect:
    """What stands behind a dialect of SQLAlchemy's; SQLite's where a statement is only shown to a person."""
    return _loaded(dialect.name if is_known(dialect) else "sqlite")


def is_known(dialect: Dialect) -> bool:
    """Statements are also compiled for no database at all, to be shown to a person."""
    return dialect.name in _LOADERS


@cache
def _loaded(name: str) -> SqlDialect:
    return _LOADERS[name]()


def sqlite_url(file: Path) -> URL:
    """A file's address; in a name, `?`, `#` and `%` mean themselves."""
    return URL.create("sqlite", database=str(file))
