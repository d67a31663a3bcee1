from typing import Final

from attrs import frozen
from sqlalchemy.exc import DBAPIError

from adapters.sql.dialects.base import UniqueKey
from application.errors import Aborted, Unavailable

CANNOT_BE_OPENED: Final = "can't be opened: does its folder exist, and is it writable?"
WAS_REMOVED: Final = (
    "was deleted, or replaced by another file, while it was in use: stop Holdfast, put the file back or restore it"
    " from a backup, and start again"
)
_UNAVAILABLE: Final = {
    "SQLITE_CANTOPEN": CANNOT_BE_OPENED,
    "SQLITE_CORRUPT": "is damaged: restore it from a backup",
    "SQLITE_FULL": "has no space left on its disk",
    "SQLITE_IOERR": "can't be read or written",
    "SQLITE_NOTADB": "is not a database",
    "SQLITE_READONLY": "is read-only",
}
_NOT_UNIQUE: Final = frozenset({"SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"})


@frozen
class SqliteErrors:
    def translated(self, error: DBAPIError, server: str) -> Exception | None:
        name = _name(error)
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return Aborted(f"{server} is being written by another process")
        for prefix, words in _UNAVAILABLE.items():
            if name.startswith(prefix):
                return Unavailable(f"{server} {words}")
        return None

    def broken_key(self, error: DBAPIError) -> str | None:
        if _name(error) not in _NOT_UNIQUE:
            return None
        return str(_of_driver(error)).rpartition("constraint failed: ")[2]

    def name_of(self, key: UniqueKey) -> str:
        return ", ".join(f"{key.table}.{column}" for column in key.columns)

    def ends_session(self, error: DBAPIError) -> bool:  # noqa: ARG002 - there is no server
        return False

    def leaves_commit_open(self, error: DBAPIError) -> bool:
        # A commit that was written and not flushed may still be found when the file is opened again.
        return _name(error).startswith("SQLITE_IOERR")


def _of_driver(error: DBAPIError) -> BaseException | None:
    # SQLAlchemy wraps the error of the driver in an error of its own.
    return (error.orig.__cause__ or error.orig) if error.orig is not None else None


def _name(error: DBAPIError) -> str:
    name: str = getattr(error.orig, "sqlite_errorname", "")
    return name
