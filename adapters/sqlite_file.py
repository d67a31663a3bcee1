"""Which file a SQLite connection has open."""

import os
from pathlib import Path


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
