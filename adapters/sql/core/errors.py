"""What the errors of the drivers mean to the application."""

import socket
from typing import Any, Final

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from application.errors import Aborted, Unavailable
from application.ports.persistence import OrderConflict


class BrokenRow(Exception):
    """What is stored is not what it says it is: a rule of the domain refuses it."""


# Whole classes, by the first two characters of SQLSTATE, and single states.
_UNAVAILABLE_CLASSES: Final = frozenset({"08", "28", "53", "57", "58"})
_UNAVAILABLE_STATES: Final = {
    "25006": "is read-only now",
    "25P03": "gave up on a transaction that had been idle for too long",
    "28000": "refuses this user",
    "28P01": "refuses the user's password",
    "3D000": "has no database of this name",
    "53100": "has no space left on its disk",
    "53300": "has no connection left: raise max_connections, or make the pools smaller",
    "57014": "took too long over a statement",
    "57P01": "is shutting down",
    "57P03": "is starting up or shutting down",
}
_ABORTED_STATES: Final = frozenset({"40001", "40P01", "55P03"})
_SESSION_ENDED_STATES: Final = frozenset({"57P01", "57P02", "57P05", "25P03"})
_UNIQUE: Final = "23505"

CANNOT_BE_OPENED: Final = "can't be opened: does its folder exist, and may it be written?"
_UNAVAILABLE_IN_SQLITE: Final = {
    "SQLITE_CANTOPEN": CANNOT_BE_OPENED,
    "SQLITE_CORRUPT": "is damaged: restore it from a backup",
    "SQLITE_FULL": "has no space left on its disk",
    "SQLITE_IOERR": "can't be read or written",
    "SQLITE_NOTADB": "is no database",
    "SQLITE_READONLY": "is read-only",
}

_UNREACHABLE: Final[dict[type[Exception], str]] = {
    PoolTimeout: "has answered too slowly: every connection to it is in use",
    TimeoutError: "did not answer in time",
    ConnectionRefusedError: "refuses connections: is it running there?",
    socket.gaierror: "can't be found: the name of the host is not known",
}

# How the databases name what was not unique: PostgreSQL by constraint, SQLite by columns.
_CONFLICTS: Final = {
    "order_events_pk": "an order has an event of this number already",
    "order_events.order_id, order_events.sequence": "an order has an event of this number already",
    "payments_one_open_for_an_order": "an order has a payment under way already",
    "payments.order_id": "an order has a payment under way already",
}


def server_name(url: URL) -> str:
    """For messages: the address without user and password."""
    if url.get_backend_name() == "sqlite":
        return f"SQLite file {url.database}"
    return (
        f"PostgreSQL at {url.host or 'the default socket'}:{url.port or 5432}, database {url.database or url.username}"
    )


def is_lost(error: BaseException) -> bool:
    """The connection is gone, and with it the transaction, as long as no commit was sent."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or _state(error) in _SESSION_ENDED_STATES
    return isinstance(error, ConnectionError)


def is_unanswered(error: BaseException) -> bool:
    """The database has not said what has become of what was asked last."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    return isinstance(error, TimeoutError | OSError)


def translated(error: Exception, server: str) -> Exception:
    """The error in the words of the ports, or the same one where they have no word for it."""
    if isinstance(error, DBAPIError):
        return _of_postgresql(error, server) or _of_sqlite(error, server) or _of_connection(error, server) or error
    for kind, words in _UNREACHABLE.items():
        if isinstance(error, kind):
            return Unavailable(f"{server} {words}")
    if isinstance(error, OSError):
        return Unavailable(f"{server} can't be reached: {error}")
    return error


def _of_postgresql(error: DBAPIError, server: str) -> Exception | None:
    state = _state(error)
    if state is None:
        return None
    if state in _UNAVAILABLE_STATES:
        return Unavailable(f"{server} {_UNAVAILABLE_STATES[state]}")
    if state in _ABORTED_STATES:
        return Aborted(_driver_message(error))
    if state == _UNIQUE:
        return _not_unique(getattr(_driver_error(error), "constraint_name", None) or "", error)
    if state[:2] in _UNAVAILABLE_CLASSES:
        return Unavailable(f"{server}: {_driver_message(error)}")
    return None


def _of_sqlite(error: DBAPIError, server: str) -> Exception | None:
    name: str = getattr(error.orig, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Aborted(f"{server} is being written by another process")
    for prefix, words in _UNAVAILABLE_IN_SQLITE.items():
        if name.startswith(prefix):
            return Unavailable(f"{server} {words}")
    if isinstance(error, IntegrityError) and name in {"SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"}:
        return _not_unique(_driver_message(error).rpartition("constraint failed: ")[2], error)
    return None


def _of_connection(error: DBAPIError, server: str) -> Exception | None:
    return Unavailable(f"the connection to {server} was lost") if error.connection_invalidated else None


def _not_unique(what: str, error: DBAPIError) -> Exception:
    if what in _CONFLICTS:
        return OrderConflict(_CONFLICTS[what])
    return Aborted(f"there is such a row already: {_driver_message(error)}")


def _state(error: DBAPIError) -> str | None:
    state: str | None = getattr(error.orig, "sqlstate", None)
    return state


def _driver_error(error: DBAPIError) -> Any:
    return error.orig.__cause__ if error.orig is not None else None


def _driver_message(error: DBAPIError) -> str:
    return str(_driver_error(error) or error.orig)
