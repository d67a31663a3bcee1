import asyncio
from typing import Final

from attrs import frozen
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from adapters.sql.dialects.base import SqlDialect, Timeouts, Watch
from adapters.sql.dialects.registry import parsed_url, sqlite_url

__all__ = ["LOCK_TIMEOUT", "POOL_TIMEOUT", "Backend", "backend_of", "create_engine", "sqlite_url"]

# Seconds that somebody waits for a connection of the pool.
POOL_TIMEOUT: Final = 2.0
# Seconds that a transaction waits for rows that another one holds.
LOCK_TIMEOUT: Final = 5.0

_BACKEND: Final = "holdfast_backend"


@frozen(kw_only=True, eq=False)
class Backend:
    """What an engine of ours has beside SQLAlchemy's pool."""

    dialect: SqlDialect
    # For messages: which database it is, without user and password.
    server: str
    # Where those who need a connection stand in line (`open_session`). The queue of the pool itself is none: a
    # connection that comes back goes to whoever asks next, and who was woken for it goes to the end again.
    line: asyncio.Semaphore
    # Where a database has one writer: whoever writes takes this lock first (`TransactionBlock`).
    writers_turn: asyncio.Lock | None
    watch: Watch | None


def backend_of(engine: AsyncEngine) -> Backend:
    backend: Backend = engine.get_execution_options()[_BACKEND]
    return backend


def create_engine(
    url: str | URL, *, pool_size: int = 10, statement_timeout: float = 10.0, lock_timeout: float = LOCK_TIMEOUT
) -> AsyncEngine:
    """Make ready for a database; nothing is connected yet. Raise `ValueError` for a URL that no dialect knows.

    Both times are in seconds; `lock_timeout` is for rows that another transaction holds.
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
        # The connection that was used last has the statements prepared.
        pool_use_lifo=True,
        # The messages of errors are logged; what customers ordered is not for the log.
        hide_parameters=True,
    )
    backend = Backend(
        dialect=dialect,
        server=connections.server_name(engine.url),
        line=asyncio.Semaphore(pool_size),
        writers_turn=asyncio.Lock() if connections.one_writer else None,
        watch=connections.prepare(engine, connect),
    )
    engine.update_execution_options(**{_BACKEND: backend})
    return engine
