"""Sends statements to the database, over one connection of the engine's pool."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from attrs import define, field
from sqlalchemy import Executable, Row
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.sql.core.compiled import Parameters, compiled, raw_connection
from adapters.sql.core.engine import POOL_TIMEOUT, backend_of
from adapters.sql.dialects.base import Driver, Watch


async def open_session(engine: AsyncEngine, *, writing: bool) -> "Session":
    backend, now = backend_of(engine), asyncio.get_running_loop().time
    begun = now()
    try:
        async with asyncio.timeout(POOL_TIMEOUT):
            await backend.line.acquire()
        backend.note_wait(now() - begun)
    except TimeoutError:
        backend.note_wait(now() - begun)
        raise PoolTimeout("no connection has become free in time") from None
    try:
        connection = await engine.connect().start()
    except BaseException:
        backend.line.release()
        raise
    return Session(connection, backend.dialect.driver, backend.watch, backend.line, is_transaction=writing)


@define(eq=False)
class Session:
    """One transaction, which begins with its first statement.

    SQLAlchemy compiles the statements, and the driver sends them. SQLAlchemy's pool does not know about the
    transaction. So if its begin or its end fails, the connection is closed and not returned to the pool.
    """

    _connection: AsyncConnection
    _driver: Driver
    _watch: Watch | None
    _line: asyncio.Semaphore
    # False if the session only reads. Each repository then reads with one statement, and a transaction would only add
    # two round trips.
    _is_transaction: bool = field(kw_only=True)
    _is_open: bool = field(default=False, init=False)
    _is_unsound: bool = field(default=False, init=False)

    @property
    def is_closed(self) -> bool:
        """Whether the connection is known to be closed."""
        return self._driver.is_closed(raw_connection(self._connection))

    async def fetch(self, statement: Executable, parameters: Parameters) -> Sequence[Row[Any]]:
        made = compiled(statement, self._connection.dialect)
        arguments = made.arguments(parameters)
        rows = await self._ask(lambda connection: self._driver.fetch(connection, made, arguments))
        return cast("Sequence[Row[Any]]", rows)

    async def change(self, statement: Executable, parameters: Parameters) -> int:
        """Return the number of rows that were changed."""
        made = compiled(statement, self._connection.dialect)
        arguments = made.arguments(parameters)
        changed: int = await self._ask(lambda connection: self._driver.change(connection, made, arguments))
        return changed

    async def commit(self) -> None:
        if self._is_open:
            await self._end("COMMIT")

    async def close(self) -> None:
        """Roll back if the transaction was not committed, and return the connection to the pool."""
        try:
            if self._is_open and not self._is_unsound:
                await self._end("ROLLBACK")
        finally:
            if self._is_unsound:
                await self.throw_away()
            else:
                await self._give_back()

    async def throw_away(self) -> None:
        """Close the connection at once, in whatever state it is, instead of returning it to the pool."""
        try:
            self._driver.cut(raw_connection(self._connection))
            await self._connection.invalidate()
        finally:
            await self._give_back()

    async def _give_back(self) -> None:
        try:
            await self._connection.close()
        finally:
            self._line.release()

    async def _ask(self, question: Callable[[Any], Any]) -> Any:
        connection = raw_connection(self._connection)
        try:
            if self._is_transaction and not self._is_open:
                await self._answered(connection, self._driver.run(connection, self._driver.begin))
                self._is_open = True
            return await self._answered(connection, question(connection))
        except BaseException as error:
            # After a cancellation, the statement may still be running on the connection.
            self._is_unsound |= not self._driver.is_refusal(error) or (self._is_transaction and not self._is_open)
            if isinstance(error, self._driver.errors):
                raise self._driver.told(error, connection) from error
            raise

    async def _end(self, command: str) -> None:
        self._is_unsound = True
        connection = raw_connection(self._connection)
        try:
            await self._answered(connection, self._driver.run(connection, command))
        except self._driver.errors as error:
            raise self._driver.told(error, connection) from error
        self._is_open = self._is_unsound = False

    async def _answered(self, connection: Any, answer: Awaitable[Any]) -> Any:
        return await (answer if self._watch is None else self._watch.watched(connection, answer))
