import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.dialects.base import READING, Timeouts
from adapters.sql.dialects.sqlite.driver import BEGIN
from adapters.sql.dialects.sqlite.errors import CANNOT_BE_OPENED, WAS_REMOVED
from adapters.sqlite_file import LOST_ITS_LOG, identity, log_of
from adapters.sqlite_wal import enter_wal
from application.errors import Unavailable

# Seconds to wait for a writer in another process.
_BUSY_TIMEOUT: Final = 5.0
# The name under which a connection keeps the identity of its log.
_LOG: Final = "log"


def _expect_the_same_file(engine: AsyncEngine, server: str) -> None:
    """Refuse to go on, once the file that was opened first has been deleted, or another has taken its place.

    The same holds for its log, into which each commit is written. SQLite itself removes that with the last connection,
    and then it has written all of it into the file, also if the log was deleted before. So nothing may be opened anew.
    """
    file, log = str(engine.url.database), log_of(str(engine.url.database))
    opened: list[tuple[int, int]] = []
    log_is_lost = False

    def look() -> None:
        if opened and identity(file) != opened[0]:
            raise Unavailable(f"{server} {WAS_REMOVED}")
        if log_is_lost:
            raise Unavailable(f"{server} {LOST_ITS_LOG}")

    @event.listens_for(engine.sync_engine, "do_connect")
    def before(*_: Any) -> None:
        look()

    @event.listens_for(engine.sync_engine, "connect")
    def after(*_: Any) -> None:
        if not opened and (found := identity(file)):
            opened.append(found)

    @event.listens_for(engine.sync_engine, "checkout")
    def at_each_use(_connection: Any, record: Any, _proxy: Any) -> None:
        nonlocal log_is_lost
        found = identity(log)
        log_is_lost = log_is_lost or record.info.setdefault(_LOG, found) != found
        look()


@frozen
class SqliteConnections:
    # Writers of this process wait in order. SQLite only polls for the writers of other processes.
    one_writer = True
    # A connection that is closed in the middle of a statement stays open, with its locks, as long as anything refers to
    # its cursor. A traceback is enough for that.
    outlive_a_cancellation = True

    def address(self, url: URL, timeouts: Timeouts) -> tuple[URL, dict[str, Any]]:
        if url.database in {None, "", ":memory:"}:
            raise ValueError("a SQLite database is a file: sqlite:///path/of/the/file")
        # With the isolation level None, the driver does not begin transactions by itself.
        connect = {"timeout": min(_BUSY_TIMEOUT, timeouts.statement), "isolation_level": None}
        return url.set(drivername="sqlite+aiosqlite"), connect

    def prepare(self, engine: AsyncEngine, connect: Mapping[str, Any]) -> None:  # noqa: ARG002 - a file is never silent
        _expect_the_same_file(engine, self.server_name(engine.url))

        # If the driver itself fails to open the file, its thread may outlive the event loop and log an error.
        @event.listens_for(engine.sync_engine, "do_connect")
        def look_first(*_: Any) -> None:
            file = Path(str(engine.url.database))
            usable = not os.access(file, os.F_OK) or (os.access(file, os.R_OK) and file.is_file())
            if not usable or not os.access(file.parent, os.W_OK | os.X_OK):
                raise Unavailable(f"{self.server_name(engine.url)} {CANNOT_BE_OPENED}")

        @event.listens_for(engine.sync_engine, "connect")
        def set_up(connection: Any, _record: Any) -> None:
            cursor = connection.cursor()
            enter_wal(cursor.execute, timeout=_BUSY_TIMEOUT)
            # A commit is on the disk when it returns.
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.execute("PRAGMA foreign_keys = ON")
            # The first read opens the log, which is not removed from then on: see `_expect_the_same_file`.
            cursor.execute("SELECT count(*) FROM sqlite_master")
            cursor.close()

        @event.listens_for(engine.sync_engine, "begin")
        def begin(connection: Connection) -> None:
            if not connection.get_execution_options().get(READING, False):
                connection.exec_driver_sql(BEGIN)

    def server_name(self, url: URL) -> str:
        return f"SQLite file {url.database}"
