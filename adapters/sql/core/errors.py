"""Translates the errors of the databases into those of the application."""

import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from adapters.sql.core.engine import Backend
from adapters.sql.dialects.base import UniqueKey
from application.errors import Aborted, Unavailable
from application.ports.persistence import OrderConflict, OrderExists

_UNREACHABLE: Final[dict[type[Exception], str]] = {
    PoolTimeout: "is too slow: every connection to it is in use",
    TimeoutError: "did not answer in time",
    ConnectionRefusedError: "refuses connections: is it running there?",
    socket.gaierror: "can't be found: its host name is unknown",
}

# The keys that an order violates if another transaction has stored it before, or has changed it concurrently. A test
# compares the keys with the tables.
CONFLICTS: Final[Mapping[UniqueKey, tuple[type[Aborted], str]]] = MappingProxyType(
    {
        UniqueKey(name="orders_pk", table="orders", columns=("id",), is_primary=True): (
            OrderExists,
            "there is an order with this id already",
        ),
        UniqueKey(name="order_events_pk", table="order_events", columns=("order_id", "sequence"), is_primary=True): (
            OrderConflict,
            "an order has an event with this number already",
        ),
        UniqueKey(name="payments_one_open_for_an_order", table="payments", columns=("order_id",), is_primary=False): (
            OrderConflict,
            "an order has an open payment already",
        ),
    }
)


def is_lost(error: BaseException, backend: Backend) -> bool:
    """Return whether the connection was lost. Unless a commit was sent, the transaction is rolled back."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or backend.dialect.errors.ends_session(error)
    return isinstance(error, ConnectionError)


def is_unanswered(error: BaseException, backend: Backend) -> bool:
    """Return whether the outcome of a commit that ended with this error is unknown."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or backend.dialect.errors.leaves_commit_open(error)
    return isinstance(error, TimeoutError | OSError)


def translated(error: Exception, backend: Backend) -> Exception:
    """Return the error of the application that corresponds to this error, or this error itself if there is none."""
    if isinstance(error, DBAPIError):
        return _of_database(error, backend) or error
    for kind, words in _UNREACHABLE.items():
        if isinstance(error, kind):
            return Unavailable(f"{backend.server} {words}")
    if isinstance(error, OSError):
        return Unavailable(f"{backend.server} can't be reached: {error}")
    return error


def _of_database(error: DBAPIError, backend: Backend) -> Exception | None:
    errors = backend.dialect.errors
    if known := errors.translated(error, backend.server):
        return known
    if (broken := errors.broken_key(error)) is not None:
        for key, (conflict, words) in CONFLICTS.items():
            if errors.name_of(key) == broken:
                return conflict(words)
        return Aborted(f"there is such a row already: {_message(error)}")
    return Unavailable(f"the connection to {backend.server} was lost") if error.connection_invalidated else None


def _message(error: DBAPIError) -> str:
    # SQLAlchemy wraps the error of the driver in an error of its own.
    return str((error.orig.__cause__ or error.orig) if error.orig is not None else error)
