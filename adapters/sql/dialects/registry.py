"""Finds the dialect for a URL. Only the dialect that is used is imported, with its driver."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from sqlalchemy import URL, Dialect, make_url
from sqlalchemy.exc import ArgumentError

from adapters.hosts_in_urls import hosts_in
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
_ALIASES: Final = MappingProxyType({"postgres": "postgresql"})


def parsed_url(url: str | URL) -> tuple[URL, SqlDialect]:
    """Return the parsed URL and its dialect. Raise `ValueError`."""
    try:
        parsed = _with_hosts(url) if isinstance(url, str) and url.startswith("postgres") else make_url(url)
    except (ArgumentError, ValueError):
        # The message repeats neither the URL nor the cause, because both may contain a password.
        raise ValueError("the database URL can't be read; it looks like postgresql://user@host:5432/name") from None
    name = parsed.drivername.partition("+")[0]
    name = _ALIASES.get(name, name)
    if name not in _LOADERS:
        raise ValueError(f"a database is postgresql:// or sqlite:///, not {parsed.drivername}://")
    return parsed, _loaded(name)


def _with_hosts(url: str) -> URL:
    """Return the parsed URL. Several hosts, or the folder of a socket, become options, as SQLAlchemy has them."""
    before, hosts, after = hosts_in(url)
    if len(hosts) == 1 and "%2f" not in hosts[0].lower():
        return make_url(url)
    return make_url(f"{before}{after}").update_query_pairs([("host", unquote(host)) for host in hosts])


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
