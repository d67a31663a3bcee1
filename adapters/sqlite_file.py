"""Which file a SQLite connection has open, and which log: the `-wal` file, into which each commit is written."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

LOST_ITS_LOG: Final = (
    "has lost its -wal file, which was deleted or replaced while it was in use: stop Holdfast, which writes what was"
    " committed into the file, and start again"
)


def log_of(file: Path | str) -> str:
    return f"{file}-wal"


def identity(file: Path | str) -> tuple[int, int] | None:
    """The mark that tells the file from any other that takes its place. None: there is no file.

    A connection goes on in a file that was deleted, and nothing that it writes there is kept.
    """
    try:
        # On each use of the database: a Path would have to be made first.
        found = os.stat(file)  # noqa: PTH116
    except OSError:
        return None
    return found.st_dev, found.st_ino


def tables_in(file: Path | str) -> frozenset[str]:
    """The names of the tables in the file. Empty if there are none, or they can't be read.

    The file is only looked at: an ordinary connection could switch it to another mode, or make files beside it. What is
    in its log alone is not seen, and a log is only begun by whoever has made tables.
    """
    try:
        # An existing file is opened, and no lock is taken.
        uri = f"{Path(file).resolve().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            rows: list[tuple[str]] = connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table'"
            ).fetchall()
    except (sqlite3.Error, OSError):
        return frozenset()
    return frozenset(name for (name,) in rows)
