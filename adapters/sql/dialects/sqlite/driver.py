import sqlite3
from collections import namedtuple
from collections.abc import Awaitable, Sequence
from typing import Any, Final

from attrs import frozen
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from adapters.sql.dialects.base import Compiled

# A transaction that reads first and writes later fails if another has written in between. IMMEDIATE locks at the begin.
BEGIN: Final = "BEGIN IMMEDIATE"
# The errors for a number of more than 64 bits, and for a lone surrogate. The statement was not executed.
_CANNOT_BE_SENT: Final = (OverflowError, UnicodeEncodeError)


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
        return [make(*(process(value) for process, value in zip(columns, row, strict=True))) for row in rows]

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
