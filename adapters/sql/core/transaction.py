import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn, TypeVar

from attrs import define, field
from sqlalchemy import Dialect, Executable, Row
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.bulk import BulkStatement
from adapters.sql.core.engine import ONE_WRITER
from adapters.sql.core.errors import is_lost, is_unanswered, server_name, translated
from adapters.sql.core.finishing import undisturbed
from adapters.sql.core.session import Session, open_session
from application.errors import Aborted, OutcomeUnknown

T = TypeVar("T")

# Seconds that a writer waits for its turn on SQLite. Each turn is short; this bounds the queue.
_TURN_TIMEOUT: Final = 10.0


@define(eq=False)
class TransactionBlock:
    """What one block of a unit of work says to the database, over one connection.

    The connection is borrowed at the first statement. When it turns out to be dead then, nothing has been done on it,
    and the statement is tried once more on another: so a restarted server costs no request.
    """

    _engine: AsyncEngine
    _writing: bool
    _session: Session | None = field(default=None, init=False)
    _has_turn: bool = field(default=False, init=False)
    _begun: bool = field(default=False, init=False)
    _error: Exception | None = field(default=None, init=False)

    @property
    def dialect(self) -> Dialect:
        return self._engine.dialect

    async def fetch(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None, *, lock: bool = False
    ) -> Sequence[Row[Any]]:
        if lock:
            self._expect_writing()
        return await self._run(lambda session: session.fetch(statement, parameters))

    async def fetch_many(
        self,
        batch: BulkStatement,
        rows: Sequence[tuple[Any, ...]],
        parameters: Mapping[str, Any],
        *,
        lock: bool = False,
    ) -> Sequence[Row[Any]]:
        """What the statement gives for these rows. For no rows nothing is sent."""
        if not rows:
            return []
        statement, arrays = batch.statement(self.dialect), batch.parameters(self.dialect, rows)
        return await self.fetch(statement, {**parameters, **arrays}, lock=lock)

    async def change(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> int:
        """Return the number of rows that were changed."""
        self._expect_writing()
        return await self._run(lambda session: session.change(statement, parameters))

    async def change_many(self, batch: BulkStatement, rows: Sequence[tuple[Any, ...]]) -> int:
        """Return the number of rows that were changed. For no rows nothing is sent."""
        if not rows:
            return 0
        return await self.change(batch.statement(self.dialect), batch.parameters(self.dialect, rows))

    async def commit(self) -> None:
        if self._error is not None:
            # PostgreSQL would answer this commit with a rollback, and without an error.
            await self.rollback()
            raise Aborted("a statement failed in this transaction, which therefore can't commit") from self._error
        try:
            if self._session is not None:
                await self._session.commit()
        except Exception as error:
            if is_unanswered(error):
                # It may be on the disk: nobody but the database can tell, and it does not.
                raise OutcomeUnknown(f"{server_name(self._engine.url)} did not answer a commit") from error
            self._give_up(error)
        finally:
            await self._give_back()

    async def rollback(self) -> None:
        """Never raise: giving back rolls back, and a connection that can't is thrown away by the pool."""
        with suppress(Exception):
            await self._give_back()

    async def _run(self, ask: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        try:
            await self._take_turn()
            answer = await undisturbed(self._ask(ask), self.dialect)
        except Exception as error:
            self._error = error
            if self._begun and is_lost(error):
                await self._throw_away()
                raise Aborted(
                    f"the connection to {server_name(self._engine.url)} was lost, and nothing done"
                ) from error
            self._give_up(error)
        self._begun = True
        return answer

    async def _ask(self, ask: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        try:
            return await ask(await self._borrow())
        except Exception as error:
            if self._begun or not is_lost(error):
                raise
        await self._throw_away()
        return await ask(await self._borrow())

    async def _borrow(self) -> Session:
        if self._session is None:
            self._session = await open_session(self._engine, writing=self._writing)
        return self._session

    async def _take_turn(self) -> None:
        lock = self._lock()
        if lock is None or self._has_turn:
            return
        try:
            async with asyncio.timeout(_TURN_TIMEOUT):
                await lock.acquire()
        except TimeoutError:
            raise Aborted(f"{server_name(self._engine.url)} is being written for too long") from None
        self._has_turn = True

    def _lock(self) -> asyncio.Lock | None:
        return self._engine.get_execution_options().get(ONE_WRITER) if self._writing else None

    async def _throw_away(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(Exception):
                await session.throw_away()

    async def _give_back(self) -> None:
        session, self._session = self._session, None
        try:
            if session is not None:
                await session.close()
        finally:
            if self._has_turn and (lock := self._lock()) is not None:
                self._has_turn = False
                lock.release()

    def _expect_writing(self) -> None:
        if not self._writing:
            raise RuntimeError("a block that only reads can neither write nor lock")

    def _give_up(self, error: Exception) -> NoReturn:
        known = translated(error, server_name(self._engine.url))
        if known is error:
            raise error
        raise known from error
