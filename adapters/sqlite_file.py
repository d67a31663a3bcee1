"""Which file a SQLite connection has open, and which log: the `-wal` file, into which each commit is written."""

import os
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
