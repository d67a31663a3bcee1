"""How statements reach the databases, over one connection of the engine's pool."""

import asyncio
import sqlite3
from collections import namedtuple
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, Protocol, cast

import asyncpg  # type: ignore[import-untyped]
from attrs import define, field, frozen
from sqlalchemy import Dialect, Executable, Row
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.sql.core.engine import LINE, POOL_TIMEOUT, STALE_CONNECTION_DETECTOR
from adapters.sql.core.stale_connections import StaleConnectionDetector
from adapters.sql.core.types import bind_processor, result_processor

# More than there are statements.
_STATEMENTS: Final = 512

Parameters = Mapping[str, Any] | None


async def open_session(engine: AsyncEngine, *, writing: bool) -> "Session":
    options = engine.get_execution_options()
    line: asyncio.Semaphore = options[LINE]
    try:
        async with asyncio.timeout(POOL_TIMEOUT):
            await line.acquire()
    except TimeoutError:
        raise PoolTimeout("no connection has become free in time") from None
    try:
        connection = await engine.connect().start()
    except BaseException:
        line.release()
        raise
    return Session(
        connection, DRIVERS[engine.dialect.name], options.get(STALE_CONNECTION_DETECTOR), line, is_transaction=writing
    )


@define(eq=False)
class Session:
    """One transaction, which begins with its first statement: made by SQLAlchemy, taken to the database by its driver.

    To execute a statement through SQLAlchemy takes 160 microseconds of this process, whatever the statement does;
    asyncpg takes 30. SQLAlchemy's pool knows nothing of the transaction: when anything goes wrong in its beginning or
    its end, the connection is not given back to it.
    """

    _connection: AsyncConnection
    _driver: "_Driver"
    # None where a database can't fall silent.
    _detector: StaleConnectionDetector | None
    _line: asyncio.Semaphore
    # What is only read is read with one statement a repository, so that a transaction would add nothing but two round
    # trips.
    _is_transaction: bool = field(kw_only=True)
    _is_open: bool = field(default=False, init=False)
    _is_unsound: bool = field(default=False, init=False)

    async def fetch(self, statement: Executable, parameters: Parameters) -> Sequence[Row[Any]]:
        made = _made(statement, self._connection.dialect)
        rows = await self._ask(lambda driver: self._driver.fetch(driver, made, made.arguments(parameters)))
        return cast("Sequence[Row[Any]]", rows)

    async def change(self, statement: Executable, parameters: Parameters) -> int:
        """Return the number of rows that were changed."""
        made = _made(statement, self._connection.dialect)
        changed: int = await self._ask(lambda driver: self._driver.change(driver, made, made.arguments(parameters)))
        return changed

    async def commit(self) -> None:
        if self._is_open:
            await self._end("COMMIT")

    async def close(self) -> None:
        """Give the connection back; what was not committed is rolled back."""
        try:
            if self._is_open and not self._is_unsound:
                await self._end("ROLLBACK")
        finally:
            if self._is_unsound:
                await self.throw_away()
            else:
                await self._give_back()

    async def throw_away(self) -> None:
        """Give the connection up, whatever state it is in, at once."""
        try:
            self._driver.cut(self._drivers_own())
            await self._connection.invalidate()
        finally:
            await self._give_back()

    async def _give_back(self) -> None:
        try:
            await self._connection.close()
        finally:
            self._line.release()

    async def _ask(self, question: Callable[[Any], Any]) -> Any:
        connection = self._drivers_own()
        try:
            if self._is_transaction and not self._is_open:
                await self._answered(connection, connection.execute(self._driver.begin))
                self._is_open = True
            return await self._answered(connection, question(connection))
        except BaseException as error:
            # Whoever is cancelled leaves a statement behind that may still be running.
            self._is_unsound |= not self._driver.is_refusal(error) or (self._is_transaction and not self._is_open)
            if isinstance(error, self._driver.errors):
                raise self._driver.told(error, connection) from error
            raise

    async def _end(self, command: str) -> None:
        self._is_unsound = True
        connection = self._drivers_own()
        try:
            await self._answered(connection, connection.execute(command))
        except self._driver.errors as error:
            raise self._driver.told(error, connection) from error
        self._is_open = self._is_unsound = False

    async def _answered(self, connection: Any, answer: Awaitable[Any]) -> Any:
        return await (answer if self._detector is None else self._detector.watched(connection, answer))

    def _drivers_own(self) -> Any:
        return cast(Any, self._connection.sync_connection).connection.driver_connection


@frozen
class _Made:
    """A statement as a driver takes it: its text, which parameter stands where, and what its columns are."""

    sql: str
    # The name, the value where none is given, and what turns a value into that which the driver sends.
    _places: tuple[tuple[str, Any, Callable[[Any], Any]], ...]
    columns: tuple[Callable[[Any], Any], ...]
    row: type[tuple[Any, ...]]
    record: "type[_Record]"

    def arguments(self, parameters: Parameters) -> list[Any]:
        given = parameters or {}
        return [process(given.get(name, default)) for name, default, process in self._places]


@lru_cache(_STATEMENTS)
def _made(statement: Executable, dialect: Dialect) -> _Made:
    compiled: Any = cast(Any, statement).compile(dialect=dialect)
    binds = [(name, compiled.binds[name]) for name in compiled.positiontup or ()]
    places = ((name, bind.effective_value, bind_processor(bind.type, dialect)) for name, bind in binds)
    columns = list(getattr(statement, "exported_columns", ()))
    names = [str(column.key) for column in columns]
    row = namedtuple("Row", names, rename=True)  # type: ignore[misc]  # noqa: PYI024 - known only now
    record = type("Record", (_Record,), {name: property(itemgetter(place)) for place, name in enumerate(names)})
    return _Made(compiled.string, tuple(places), tuple(result_processor(c.type, dialect) for c in columns), row, record)


class _Driver(Protocol):
    """What the drivers say differently."""

    @property
    def begin(self) -> str: ...

    @property
    def errors(self) -> tuple[type[Exception], ...]: ...

    async def fetch(self, connection: Any, made: _Made, arguments: Sequence[Any]) -> Sequence[Any]: ...

    async def change(self, connection: Any, made: _Made, arguments: Sequence[Any]) -> int: ...

    def is_refusal(self, error: BaseException) -> bool:
        """Whether the database has refused a statement, and waits for the next one on the same connection."""

    def cut(self, connection: Any) -> None:
        """Say no farewell where nobody may be listening."""

    def told(self, error: Exception, connection: Any) -> DBAPIError:
        """The error in SQLAlchemy's words, which `errors.py` reads for both."""


class _Asyncpg:
    begin = "BEGIN"
    errors = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

    async def fetch(self, connection: Any, made: _Made, arguments: Sequence[Any]) -> Sequence[Any]:
        rows: Sequence[Any] = await connection.fetch(made.sql, *arguments, record_class=made.record)
        return rows

    async def change(self, connection: Any, made: _Made, arguments: Sequence[Any]) -> int:
        status = await connection.execute(made.sql, *arguments)
        # As in INSERT 0 30, or UPDATE 30.
        return int(status.rpartition(" ")[2])

    def is_refusal(self, error: BaseException) -> bool:
        # What is worse is the last word of a session: its connection is closed by the server, if not at once.
        return isinstance(error, asyncpg.PostgresError) and getattr(error, "severity_en", None) == "ERROR"

    def cut(self, connection: Any) -> None:
        # SQLAlchemy would wait two seconds for a server that is silent.
        connection.terminate()

    def told(self, error: Exception, connection: Any) -> DBAPIError:
        words: Any = Exception(str(error))
        words.sqlstate = getattr(error, "sqlstate", None)
        words.__cause__ = error
        is_lost = connection.is_closed() or not self.is_refusal(error)
        return DBAPIError(None, None, words, hide_parameters=True, connection_invalidated=is_lost)


class _Record(asyncpg.Record):  # type: ignore[misc]  # asyncpg has no types
    """A row whose columns are its attributes, as SQLAlchemy's are.

    Those of a statement that names its columns are properties, which take a fifth of the time of this look-up.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class _Aiosqlite:
    # A transaction that reads first and writes later may find itself too late; so it says at once that it writes.
    begin = "BEGIN IMMEDIATE"
    errors = (sqlite3.Error,)

    async def fetch(self, connection: Any, made: _Made, arguments: Sequence[Any]) -> Sequence[Any]:
        # The driver works in a thread of its own: this is the one call that goes there once.
        rows = await connection.execute_fetchall(made.sql, arguments)
        return [made.row(*(process(value) for process, value in zip(made.columns, row, strict=True))) for row in rows]

    async def change(self, connection: Any, made: _Made, arguments: Sequence[Any]) -> int:
        cursor = await connection.execute(made.sql, arguments)
        return int(cursor.rowcount)

    def is_refusal(self, error: BaseException) -> bool:
        return isinstance(error, sqlite3.Error)

    def cut(self, connection: Any) -> None:
        pass

    def told(self, error: Exception, connection: Any) -> DBAPIError:  # noqa: ARG002 - a file is never disconnected
        kind = IntegrityError if isinstance(error, sqlite3.IntegrityError) else DBAPIError
        return kind(None, None, error, hide_parameters=True)


DRIVERS: Final[Mapping[str, _Driver]] = {"postgresql": _Asyncpg(), "sqlite": _Aiosqlite()}
