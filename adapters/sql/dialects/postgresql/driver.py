from collections.abc import Awaitable, Sequence
from operator import itemgetter
from typing import Any

import asyncpg  # type: ignore[import-untyped]
from attrs import frozen
from sqlalchemy.exc import DataError, DBAPIError

from adapters.sql.dialects.base import Compiled


@frozen
class Asyncpg:
    begin = "BEGIN"
    errors = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

    def row(self, names: Sequence[str]) -> type[Any]:
        return type("Record", (_Record,), {name: property(itemgetter(place)) for place, name in enumerate(names)})

    def run(self, connection: Any, command: str) -> Awaitable[Any]:
        executed: Awaitable[Any] = connection.execute(command)
        return executed

    async def fetch(self, connection: Any, statement: Compiled, arguments: Sequence[Any]) -> Sequence[Any]:
        rows: Sequence[Any] = await connection.fetch(statement.sql, *arguments, record_class=statement.row)
        return rows

    async def change(self, connection: Any, statement: Compiled, arguments: Sequence[Any]) -> int:
        status = await connection.execute(statement.sql, *arguments)
        # The status is INSERT 0 30 or UPDATE 30, for example.
        return int(status.rpartition(" ")[2])

    def is_closed(self, connection: Any) -> bool:
        return bool(connection.is_closed())

    def is_refusal(self, error: BaseException) -> bool:
        # After an error of a higher severity, the server closes the connection, though perhaps not at once.
        return isinstance(error, asyncpg.PostgresError) and (error.severity_en == "ERROR" or _was_never_sent(error))

    def cut(self, connection: Any) -> None:
        # SQLAlchemy's own close would wait two seconds for a silent server.
        connection.terminate()

    def told(self, error: Exception, connection: Any) -> DBAPIError:
        words: Any = Exception(str(error))
        words.sqlstate = getattr(error, "sqlstate", None)
        words.__cause__ = error
        is_lost = connection.is_closed() or not self.is_refusal(error)
        kind = DataError if _was_never_sent(error) else DBAPIError
        return kind(None, None, words, hide_parameters=True, connection_invalidated=is_lost)


def _was_never_sent(error: BaseException) -> bool:
    # asyncpg could not encode a value as its parameter's type. An error from the server has a severity.
    return isinstance(error, asyncpg.DataError) and error.severity_en is None


class _Record(asyncpg.Record):  # type: ignore[misc]  # asyncpg has no types
    """A row whose columns are attributes, as in SQLAlchemy.

    If the names of the columns are known, a subclass has properties for them (`Asyncpg.row`). A property takes a fifth
    of the time of this look-up.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None
