import asyncio
from typing import Any, Final

from attrs import evolve, frozen
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from adapters.sql.dialects.base import SqlDialect, Timeouts, Watch
from adapters.sql.dialects.registry import parsed_url, sqlite_url
from application.ports.telemetry import Record, Telemetry, record_nothing
from application.telemetry import metrics

__all__ = [
    "LOCK_TIMEOUT",
    "POOL_TIMEOUT",
    "STATEMENT_TIMEOUT",
    "Backend",
    "backend_of",
    "create_engine",
    "measure",
    "sqlite_url",
]

# Seconds that a caller waits for a connection of the pool.
POOL_TIMEOUT: Final = 2.0
# Seconds that a transaction waits for rows that another transaction has locked.
LOCK_TIMEOUT: Final = 5.0
# Seconds that a statement may take.
STATEMENT_TIMEOUT: Final = 10.0

_BACKEND: Final = "holdfast_backend"


@frozen(kw_only=True, eq=False)
class Backend:
    """The parts of an engine that SQLAlchemy does not have."""

    dialect: SqlDialect
    # The URL as it was given. That of the engine has only what SQLAlchemy itself needs.
    url: str | URL
    # The name of the database in messages, without user and password.
    server: str
    # Callers that need a connection wait here, in order (`open_session`). SQLAlchemy's pool does not keep the order: a
    # returned connection goes to the next caller that asks, and the waiter woken for it goes back to the end.
    line: asyncio.Semaphore
    # For a database that allows one writer at a time: each writer takes this lock first (`TransactionBlock`).
    writers_turn: asyncio.Lock | None
    watch: Watch | None
    # Told of the seconds for which each transaction has waited for its connection.
    note_wait: Record = record_nothing


def backend_of(engine: AsyncEngine) -> Backend:
    backend: Backend = engine.get_execution_options()[_BACKEND]
    return backend


def measure(engine: AsyncEngine, telemetry: Telemetry) -> None:
    """Tell how many connections are open, and for how long transactions wait for one."""
    pool: Any = engine.pool
    telemetry.watch(metrics.POOL_CONNECTIONS, pool.checkedout, state="in_use")
    telemetry.watch(metrics.POOL_CONNECTIONS, pool.checkedin, state="idle")
    measured = evolve(backend_of(engine), note_wait=telemetry.of(metrics.POOL_WAIT))
    engine.update_execution_options(**{_BACKEND: measured})


def create_engine(
    url: str | URL,
    *,
    pool_size: int = 10,
    statement_timeout: float = STATEMENT_TIMEOUT,
    lock_timeout: float = LOCK_TIMEOUT,
) -> AsyncEngine:
    """Return an engine for the database, without connecting. Raise `ValueError` for a URL that no dialect knows.

    Both timeouts are in seconds. `lock_timeout` bounds the wait for rows that another transaction has locked.
    """
    parsed, dialect = parsed_url(url)
    connections = dialect.connections
    address, connect = connections.address(parsed, Timeouts(statement=statement_timeout, lock=lock_timeout))
    engine = create_async_engine(
        address,
        connect_args=connect,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT,
        # The connection that was used last has the statements prepared already.
        pool_use_lifo=True,
        # Error messages are logged. Parameters are hidden, because they contain the customers' orders.
        hide_parameters=True,
    )
    backend = Backend(
        dialect=dialect,
        url=url,
        server=connections.server_name(parsed),
        line=asyncio.Semaphore(pool_size),
        writers_turn=asyncio.Lock() if connections.one_writer else None,
        watch=connections.prepare(engine, connect),
    )
    engine.update_execution_options(**{_BACKEND: backend})
    return engine
