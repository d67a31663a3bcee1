"""Finds the dialect for a URL. Only the dialect that is used is imported, with its driver."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from sqlalchemy import URL, Dialect, make_url
from sqlalchemy.exc import ArgumentError

from adapters.sql.dialects.base import SqlDialect


def _postgresql() -> SqlDialect:
    from adapters.sql.dialects.postgresql.dialect import POSTGRESQL  # noqa: PLC0415 - see above

    return POSTGRESQL


def _sqlite() -> SqlDialect:
    from adapters.sql.dialects.sqlite.dialect import SQLITE  # noqa: PLC0415 - see above

    return SQLITE


# By SQLAlchemy's names of the dialects.
_LOADERS: Final[Mapping[str, Callable[[], SqlDialect]]] = MappingProxyType(
    {"postgresql": _postgresql, "sqlite": _sqlite}
)
# Several hosts, or the folder of a socket, as libpq has them. SQLAlchemy has them among the options.
_HOSTS: Final = re.compile(
    r"(?P<before>postgres\w*(?:\+\w+)?://(?:[^@/?#]*@)?)"
    r"(?P<hosts>[^@/?#]*(?:,|%2[Ff])[^@/?#]*)(?P<after>(?:[/?#].*)?)"
)
_ALIASES: Final = MappingProxyType({"postgres": "postgresql"})


def parsed_url(url: str | URL) -> tuple[URL, SqlDialect]:
    """Return the parsed URL and its dialect. Raise `ValueError`."""
    try:
        found = _HOSTS.fullmatch(url) if isinstance(url, str) else None
        parsed = make_url(f"{found['before']}{found['after']}" if found else url)
        if found:
            parsed = parsed.update_query_pairs([("host", unquote(host)) for host in found["hosts"].split(",")])
    except (ArgumentError, ValueError):
        # The message repeats neither the URL nor the cause, because both may contain a password.
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
    """Return whether there is a `SqlDialect`. There is none if a statement is only compiled to be printed."""
    return dialect.name in _LOADERS


@cache
def _loaded(name: str) -> SqlDialect:
    return _LOADERS[name]()


def sqlite_url(file: Path) -> URL:
    """Return the URL of a file. In the file's name, `?`, `#` and `%` have no special meaning."""
    return URL.create("sqlite", database=str(file))
