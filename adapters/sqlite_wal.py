"""WAL mode for a SQLite file, in which readers and the writer don't wait for each other."""

import sqlite3
import time
from collections.abc import Callable


def enter_wal(execute: Callable[[str], object], *, timeout: float) -> None:
    """Switch a connection's file to WAL mode. Raise `sqlite3.OperationalError` if it is locked for `timeout` seconds.

    Two processes may create the file at the same time, so the switch is retried. SQLite's busy timeout does not apply
    to this lock. A file in WAL mode does not need the lock any more.
    """
    give_up_at = time.monotonic() + timeout
    while True:
        try:
            execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up_at:
                raise
            time.sleep(0.01)
        else:
            return
