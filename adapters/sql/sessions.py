"""How statements reach the two databases, over one connection of the engine's pool."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol, cast

import asyncpg  # type: ignore[import-untyped]
from attrs import define, field, frozen
from sqlalchemy import Dialect, Executable, Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.sql.engine import READING
from adapters.sql.types import bind_processor

# More than there are statements.
_STATEMENTS: Final = 512

Parameters = Mapping[str, Any] | None


class Session(Protocol):
    """One transaction, which begins with its first statement."""

    async def fetch(self, statement: Executable, parameters: Parameters) -> Sequence[Row[Any]]: ...

    async def change(self, statement: Executable, parameters: Parameters) -> int:
        """Return the number of rows that were changed."""

    async def commit(self) -> None: ...

    async def close(self) -> None:
        """Give the connection back; what was not committed is rolled back."""

    async def throw_away(self) -> None:
        """Give the connection up, whatever state it is in."""


async def open_session(engine: AsyncEngine, *, writing: bool) -> Session:
    if engine.dialect.name == "postgresql":
        return PostgresSession(await engine.connect().start(), is_transaction=writing)
    options = {} if writing else {READING: True}
    return SqliteSession(await engine.execution_options(**options).connect().start())


@frozen
class SqliteSession:
    """SQLAlchemy's own."""

    _connection: AsyncConnection

    async def fetch(self, statement: Executable, parameters: Parameters) -> Sequence[Row[Any]]:
        return (await self._connection.execute(statement, parameters)).all()

    async def change(self, statement: Executable, parameters: Parameters) -> int:
        return (await self._connection.execute(statement, parameters)).rowcount

    async def commit(self) -> None:
        await self._connection.commit()

    async def close(self) -> None:
        await self._connection.close()

    async def throw_away(self) -> None:
        await _throw_away(self._connection)


@define(eq=False)
class PostgresSession:
    """Statements that SQLAlchemy has made, taken to the server by asyncpg itself.

    To execute a statement through SQLAlchemy takes 160 microseconds of this process, whatever the statement does;
    asyncpg takes 30. SQLAlchemy's pool knows nothing of the transaction: when anything goes wrong in its beginning or
    its end, the connection is not given back to it.
    """

    _connection: AsyncConnection
    # What is only read is read with one statement a repository, so that a transaction would add nothing but two round
    # trips.
    _is_transaction: bool
    _is_open: bool = field(default=False, init=False)
    _is_unsound: bool = field(default=False, init=False)

    async def fetch(self, statement: Executable, parameters: Parameters) -> Sequence[Row[Any]]:
        made = _made(statement, self._connection.dialect)
        rows = await self._ask(lambda driver: driver.fetch(made.sql, *made.arguments(parameters), record_class=_Record))
        return cast("Sequence[Row[Any]]", rows)

    async def change(self, statement: Executable, parameters: Parameters) -> int:
        made = _made(statement, self._connection.dialect)
        status: str = await self._ask(lambda driver: driver.execute(made.sql, *made.arguments(parameters)))
        # As in INSERT 0 30, or UPDATE 30.
        return int(status.rpartition(" ")[2])

    async def commit(self) -> None:
        if self._is_open:
            await self._end("COMMIT")

    async def close(self) -> None:
        try:
            if self._is_open and not self._is_unsound:
                await self._end("ROLLBACK")
        finally:
            if self._is_unsound:
                await self.throw_away()
            else:
                await self._connection.close()

    async def throw_away(self) -> None:
        await _throw_away(self._connection)

    async def _ask(self, question: Callable[[Any], Any]) -> Any:
        driver = self._driver()
        try:
            if self._is_transaction and not self._is_open:
                await driver.execute("BEGIN")
                self._is_open = True
            return await question(driver)
        except BaseException as error:
            # Whoever is cancelled leaves a statement behind that may still be running.
            is_cancelled = not isinstance(error, Exception)
            self._is_unsound |= is_cancelled or (self._is_transaction and not self._is_open)
            if isinstance(error, (asyncpg.PostgresError, asyncpg.InterfaceError)):
                raise _as_sqlalchemy_tells(error, driver) from error
            raise

    async def _end(self, command: str) -> None:
        self._is_unsound = True
        driver = self._driver()
        try:
            await driver.execute(command)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise _as_sqlalchemy_tells(error, driver) from error
        self._is_open = self._is_unsound = False

    def _driver(self) -> Any:
        return cast(Any, self._connection.sync_connection).connection.driver_connection


class _Record(asyncpg.Record):  # type: ignore[misc]  # asyncpg has no types
    """A row whose columns are its attributes, as SQLAlchemy's are."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


@frozen
class _Made:
    """A statement as asyncpg takes it: its text, and which parameter stands where."""

    sql: str
    # The name, the value where none is given, and what turns a value into that which the driver sends.
    _places: tuple[tuple[str, Any, Callable[[Any], Any]], ...]

    def arguments(self, parameters: Parameters) -> list[Any]:
        given = parameters or {}
        return [process(given.get(name, default)) for name, default, process in self._places]


@lru_cache(_STATEMENTS)
def _made(statement: Executable, dialect: Dialect) -> _Made:
    compiled: Any = cast(Any, statement).compile(dialect=dialect)
    binds = {name: compiled.binds[name] for name in compiled.positiontup or ()}
    places = ((name, bind.effective_value, bind_processor(bind.type, dialect)) for name, bind in binds.items())
    return _Made(compiled.string, tuple(places))


def _as_sqlalchemy_tells(error: Exception, driver: Any) -> DBAPIError:
    """The same words for both databases: `errors.py` reads them."""
    told: Any = Exception(str(error))
    told.sqlstate = getattr(error, "sqlstate", None)
    told.__cause__ = error
    return DBAPIError(None, None, told, hide_parameters=True, connection_invalidated=driver.is_closed())


async def _throw_away(connection: AsyncConnection) -> None:
    try:
        await connection.invalidate()
    finally:
        await connection.close()
