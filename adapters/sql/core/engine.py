import asyncio
import os
from pathlib import Path
from time import monotonic
from typing import Any, Final

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from adapters.sql.core.errors import CANNOT_BE_OPENED, server_name
from adapters.sql.core.stale_connections import StaleConnectionDetector
from application.errors import Unavailable

# Seconds that a new connection may take, and that somebody waits for one of the pool.
CONNECT_TIMEOUT: Final = 3.0
POOL_TIMEOUT: Final = 2.0
# Seconds that a transaction waits for rows that another one holds.
LOCK_TIMEOUT: Final = 5.0
# Seconds that a transaction may do nothing. None of ours waits for anything but the database, so that its process must
# be frozen or cut off, and what it has locked would be kept from everybody.
_IDLE_TIMEOUT: Final = 5.0
# Seconds that a writer of another process may keep this one waiting, on SQLite.
_BUSY_TIMEOUT: Final = 5.0

# Execution options: who writes to SQLite takes this lock first (`TransactionBlock`), who only reads through SQLAlchemy
# itself begins no transaction (below), and who asks PostgreSQL is watched by this (`Session`).
ONE_WRITER: Final = "holdfast_one_writer"
READING: Final = "holdfast_reading"
STALE_CONNECTION_DETECTOR: Final = "holdfast_silence"
# Where those who need a connection stand in line (`open_session`). The queue of the pool itself is none: a connection
# that comes back goes to whoever asks next, and who was woken for it goes to the end again.
LINE: Final = "holdfast_line"
# Of a connection in the pool: when it was opened.
_OPENED_AT: Final = "holdfast_opened_at"


def sqlite_url(file: Path) -> URL:
    """A file's address; in a name, `?`, `#` and `%` mean themselves."""
    return URL.create("sqlite", database=str(file))


def create_engine(
    url: str | URL, *, pool_size: int = 10, statement_timeout: float = 10.0, lock_timeout: float = LOCK_TIMEOUT
) -> AsyncEngine:
    """Make ready for a `postgresql://` or `sqlite:///` URL; nothing is connected yet. Raise `ValueError`.

    Both times are in seconds; `lock_timeout` is for rows that another transaction holds, on PostgreSQL.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Neither the URL nor the cause is repeated: there may be a password in it.
        raise ValueError("the database URL can't be read; it looks like postgresql://user@host:5432/name") from None
    backend = "postgresql" if parsed.drivername == "postgres" else parsed.get_backend_name()
    if backend == "postgresql":
        return _postgresql(parsed, pool_size, statement_timeout, lock_timeout)
    if backend == "sqlite":
        return _sqlite(parsed, pool_size, statement_timeout)
    raise ValueError(f"a database is postgresql:// or sqlite:///, not {parsed.drivername}://")


def server_settings(application: str, *, statement_timeout: float, lock_timeout: float) -> dict[str, str]:
    """What PostgreSQL is told when a connection is opened."""
    return {
        "application_name": application,
        "statement_timeout": _milliseconds(statement_timeout),
        "lock_timeout": _milliseconds(lock_timeout),
        "idle_in_transaction_session_timeout": _milliseconds(_IDLE_TIMEOUT),
        # Statements here are short: to compile one takes longer than to run it.
        "jit": "off",
        # What a connection has planned while a table was new it goes on doing for as long as the table's statistics
        # stay as they were: for a minute, in which many orders come. There is an index for everything.
        "enable_seqscan": "off",
    }


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


def _postgresql(url: URL, pool_size: int, statement_timeout: float, lock_timeout: float) -> AsyncEngine:
    options = {name: str(value) for name, value in url.query.items()}
    application = options.pop("application_name", "holdfast")
    ssl = options.pop("sslmode", options.pop("ssl", None))
    if options:
        raise ValueError(f"a PostgreSQL URL has the options sslmode and application_name, not {', '.join(options)}")
    connect_args = {
        "timeout": CONNECT_TIMEOUT,
        # The server is asked to give up first; this is for one that doesn't answer at all.
        "command_timeout": statement_timeout + 1.0,
        "server_settings": server_settings(application, statement_timeout=statement_timeout, lock_timeout=lock_timeout),
    }
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg", query={} if ssl is None else {"ssl": ssl}),
        connect_args=connect_args,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT,
        # The connection that was used last has the statements prepared.
        pool_use_lifo=True,
        # The messages of errors are logged; what customers ordered is not for the log.
        hide_parameters=True,
    )
    _, address = engine.dialect.create_connect_args(engine.url)
    detector = StaleConnectionDetector(lambda: asyncpg.connect(**address, **connect_args))
    engine.update_execution_options(**{STALE_CONNECTION_DETECTOR: detector, LINE: asyncio.Semaphore(pool_size)})

    @event.listens_for(engine.sync_engine, "connect")
    def remember(_connection: Any, record: Any) -> None:
        record.info[_OPENED_AT] = monotonic()

    # A restarted server closes its connections, and the event loop has seen that by the time one is taken from the
    # pool. So this finds them without the round trip of a ping. What it can't find yet, `TransactionBlock` does.
    @event.listens_for(engine.sync_engine, "checkout")
    def refuse_closed(connection: Any, record: Any, _proxy: Any) -> None:
        if detector.is_in_doubt(record.info[_OPENED_AT]):
            # Without a farewell, for which SQLAlchemy would wait.
            connection.driver_connection.terminate()
        if connection.driver_connection.is_closed():
            raise DisconnectionError("the connection is closed")

    return engine


def _sqlite(url: URL, pool_size: int, statement_timeout: float) -> AsyncEngine:
    if url.database in {None, "", ":memory:"}:
        raise ValueError("a SQLite database is a file: sqlite:///path/of/the/file")
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"),
        # None: the driver begins no transaction of its own.
        connect_args={"timeout": min(_BUSY_TIMEOUT, statement_timeout), "isolation_level": None},
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT,
        pool_use_lifo=True,
        hide_parameters=True,
        # SQLite has one writer. Those of this process wait in a queue for their turn; only other processes are polled.
        execution_options={ONE_WRITER: asyncio.Lock(), LINE: asyncio.Semaphore(pool_size)},
    )

    # A driver that finds out by itself leaves a thread behind, which may outlive the event loop, and complain.
    @event.listens_for(engine.sync_engine, "do_connect")
    def look_first(*_: Any) -> None:
        file = Path(str(url.database))
        if file.is_dir() or not os.access(file.parent, os.W_OK | os.X_OK):
            raise Unavailable(f"{server_name(url)} {CANNOT_BE_OPENED}")

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        # Readers don't wait for the writer, nor it for them.
        cursor.execute("PRAGMA journal_mode = WAL")
        # A commit is on the disk when it returns.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    # A transaction that reads first and writes later may find itself too late; so whoever may write says so at once.
    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get(READING, False):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
