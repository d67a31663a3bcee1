from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]
from attrs import frozen
from sqlalchemy.exc import DBAPIError

from adapters.sql.dialects.base import UniqueKey
from application.errors import Aborted, Misconfigured, Unavailable

# Classes of errors, by the first two characters of SQLSTATE, and single states.
_UNAVAILABLE_CLASSES: Final = frozenset({"08", "28", "53", "57", "58"})
_UNAVAILABLE_STATES: Final = {
    "25006": " is read-only now",
    "25P03": " ended a transaction that had been idle for too long",
    "53100": " has no space left on its disk",
    "53300": " has no connection left: raise max_connections, or make the pools smaller",
    "57014": " took too long over a statement",
    "57P01": " is shutting down",
    "57P03": " is starting up or shutting down",
}
# A statement of ours is gone, or somebody else has one of its name: the session is shared with others.
_POOLED: Final = (
    "is behind a pooler that gives each transaction another session: set its pool_mode = session, or connect to the"
    " server itself"
)
# No waiting mends these.
_MISCONFIGURED_STATES: Final = {
    "26000": _POOLED,
    "28000": "refuses this user: check DATABASE_URL, and pg_hba.conf",
    "28P01": "refuses the user's password: check DATABASE_URL",
    "3D000": "does not exist: create it, or check DATABASE_URL",
    "3F000": "has no schema of this name: check DATABASE_URL, and the user's search_path",
    "42P05": _POOLED,
    "42501": "refuses a right that this user needs: make it the owner of the tables, or grant it the right",
    "42P01": "lacks a table: run `holdfast migrate`",
    "42703": "lacks a column: the tables are another release's, see `holdfast doctor`",
}
_ABORTED_STATES: Final = frozenset({"40001", "40P01", "55P03"})
# A server that is read-only was demoted, or the connection leads elsewhere by now. A new one may find the host that
# takes writes.
_SESSION_ENDED_STATES: Final = frozenset({"57P01", "57P02", "57P05", "25P03", "25006"})
_UNIQUE: Final = "23505"


def is_known(state: str | None) -> bool:
    """Return whether `PostgresErrors` knows what an error with this SQLSTATE means, whatever caused it."""
    states = (*_UNAVAILABLE_STATES, *_MISCONFIGURED_STATES, *_ABORTED_STATES)
    return state is not None and (state in states or state[:2] in _UNAVAILABLE_CLASSES)


@frozen
class PostgresErrors:
    def translated(self, error: DBAPIError, server: str) -> Exception | None:
        driver = _of_driver(error)
        if isinstance(driver, asyncpg.ClientConfigurationError):
            # Not the fault of a statement: the driver also reads variables such as PGSSLMODE, and files that they name.
            return Misconfigured(
                f"{server} can't be used: {driver}; correct DATABASE_URL, or a variable PG... or its file"
            )
        state = _state(error)
        if state is None:
            return Unavailable(f"{server} broke off the connection ({driver})") if _is_cut_off(error) else None
        if (words := _MISCONFIGURED_STATES.get(state)) is not None:
            return Misconfigured(f"{server} {words} ({driver or error.orig})")
        if state in _ABORTED_STATES:
            return Aborted(str(driver or error.orig))
        if state in _UNAVAILABLE_STATES or state[:2] in _UNAVAILABLE_CLASSES:
            return Unavailable(f"{server}{_UNAVAILABLE_STATES.get(state, f': {driver or error.orig}')}")
        return None

    def broken_key(self, error: DBAPIError) -> str | None:
        if _state(error) != _UNIQUE:
            return None
        return getattr(_of_driver(error), "constraint_name", None) or ""

    def name_of(self, key: UniqueKey) -> str:
        return key.name

    def ends_session(self, error: DBAPIError) -> bool:
        return _state(error) in _SESSION_ENDED_STATES or _is_cut_off(error)

    def leaves_commit_open(self, error: DBAPIError) -> bool:
        # Otherwise the server reports the outcome.
        return _is_cut_off(error)


def _is_cut_off(error: DBAPIError) -> bool:
    # What asyncpg says when the server ends a connection while the two agree on something, as while it is opened.
    return isinstance(_of_driver(error), asyncpg.InternalClientError)


def _state(error: DBAPIError) -> str | None:
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state


def _of_driver(error: DBAPIError) -> Any:
    # SQLAlchemy wraps the error of the driver in an error of its own.
    return error.orig.__cause__ if error.orig is not None else None
