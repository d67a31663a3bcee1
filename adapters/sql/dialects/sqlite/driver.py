import sqlite3
from collections import namedtuple
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from adapters.sql.dialects.base import Compiled

Process = Callable[[Any], Any]

# A transaction that reads first and writes later fails if another has written in between. IMMEDIATE locks at the begin.
BEGIN: Final = "BEGIN IMMEDIATE"
# The errors for a number of more than 64 bits, and for a lone surrogate. The statement was not executed.
_CANNOT_BE_SENT: Final = (OverflowError, UnicodeEncodeError)


class _Unread:
    """A row whose values are read when they are asked for.

    SQLite stores any value in any column. So by hand one can write what is no moment, or no id.
    """

    def __init__(self, values: Mapping[str, tuple[Process, Any]]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        if name not in self._values:
            raise AttributeError(name)
        process, value = self._values[name]
        return process(value)

    def __getitem__(self, at: int) -> Any:
        process, value = list(self._values.values())[at]
        return process(value)


@frozen
class Aiosqlite:
    begin = BEGIN
    errors = (sqlite3.Error, *_CANNOT_BE_SENT)

    def row(self, names: Sequence[str]) -> type[Any]:
        return namedtuple("Row", names, rename=True)  # noqa: PYI024 - known only now

    def run(self, connection: Any, command: str) -> Awaitable[Any]:
        executed: Awaitable[Any] = connection.execute(command)
        return executed

    async def fetch(self, connection: Any, statement: Compiled, arguments: Sequence[Any]) -> Sequence[Any]:
        # The driver works in a thread. This is its only call that fetches in a single switch to that thread.
        rows = await connection.execute_fetchall(statement.sql, arguments)
        columns, make = statement.columns, statement.row
        try:
            return [make(*(process(value) for process, value in zip(columns, row, strict=True))) for row in rows]
        except Exception:  # noqa: BLE001 - any column may have caused it, in its own way
            # Only who asks for that value gets the error, so that it costs no other row.
            return [_Unread(dict(zip(make._fields, zip(columns, row, strict=True), strict=True))) for row in rows]

    async def change(self, connection: Any, statement: Compiled, arguments: Sequence[Any]) -> int:
        cursor = await connection.execute(statement.sql, arguments)
        return int(cursor.rowcount)

    def is_closed(self, connection: Any) -> bool:  # noqa: ARG002 - a file is never disconnected
        return False

    def is_refusal(self, error: BaseException) -> bool:
        return isinstance(error, self.errors)

    def cut(self, connection: Any) -> None:
        pass

    def told(self, error: Exception, connection: Any) -> DBAPIError:  # noqa: ARG002 - a file is never disconnected
        kind = DBAPIError
        if isinstance(error, _CANNOT_BE_SENT):
            kind = DataError
        elif isinstance(error, sqlite3.IntegrityError):
            kind = IntegrityError
        return kind(None, None, error, hide_parameters=True)
