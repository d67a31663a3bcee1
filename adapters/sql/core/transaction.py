import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NoReturn, TypeVar

from attrs import define, field
from sqlalchemy import Executable, Row
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.bulk import BulkStatement
from adapters.sql.core.engine import Backend, backend_of
from adapters.sql.core.errors import is_lost, is_unanswered, translated
from adapters.sql.core.finishing import finish, undisturbed
from adapters.sql.core.session import Session, open_session
from adapters.sql.dialects.base import SqlDialect
from application.errors import Aborted, OutcomeUnknown

E = TypeVar("E")
T = TypeVar("T")

# Seconds that a writer waits for its turn, if the database allows one writer. A turn is short; this bounds the queue.
_TURN_TIMEOUT: Final = 10.0


@define(eq=False)
class TransactionBlock:
    """The statements of one block of a unit of work, over one connection.

    The connection is taken from the pool at the first statement. If this statement finds the connection dead, nothing
    has been done on it, and the statement is tried once more on another connection. So a restart of the server fails no
    request.
    """

    _engine: AsyncEngine
    _writing: bool
    _backend: Backend = field(init=False)
    _session: Session | None = field(default=None, init=False)
    _has_turn: bool = field(default=False, init=False)
    _begun: bool = field(default=False, init=False)
    _error: Exception | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._backend = backend_of(self._engine)

    @property
    def dialect(self) -> SqlDialect:
        return self._backend.dialect

    async def fetch(
        self, statement: Executable, parameters: Mapping[str, Any] | None = None, *, lock: bool = False
    ) -> Sequence[Row[Any]]:
        if lock:
            self._expect_writing()
        return await self._run(lambda session: session.fetch(statement, parameters))

    async def fetch_many(
        self,
        batch: BulkStatement[E],
        entities: Collection[E],
        parameters: Mapping[str, Any] | None = None,
        *,
        lock: bool = False,
    ) -> Sequence[Row[Any]]:
        """Send the statements, and return the rows of the first one. Without entities, nothing is sent."""
        if not entities:
            return []
        first, *rest = batch.statements(self.dialect)
        given = {**(parameters or {}), **batch.parameters(self.dialect, entities)}
        rows = await self.fetch(first, given, lock=lock)
        for statement in rest:
            await self.change(statement, given)
        return rows

    async def change(self, statement: Executable, parameters: Mapping[str, Any] | None = None) -> int:
        """Return the number of rows that were changed."""
        self._expect_writing()
        return await self._run(lambda session: session.change(statement, parameters))

    async def change_many(
        self, batch: BulkStatement[E], entities: Collection[E], parameters: Mapping[str, Any] | None = None
    ) -> int:
        """Send the statements, and return the number of rows that the first one changed.

        Without entities, nothing is sent.
        """
        if not entities:
            return 0
        given = {**(parameters or {}), **batch.parameters(self.dialect, entities)}
        changed, *_ = [await self.change(statement, given) for statement in batch.statements(self.dialect)]
        return changed

    async def commit(self) -> None:
        if self._error is not None:
            # PostgreSQL would roll back at this commit, and would report no error.
            await self.rollback()
            raise Aborted("a statement failed in this transaction, which therefore can't commit") from self._error
        if self._session is not None and self._session.is_closed:
            # No commit was sent, so the server has rolled back.
            await self.rollback()
            raise Aborted(self._lost)
        try:
            if self._session is not None:
                await self._session.commit()
        except Exception as error:
            if is_unanswered(error, self._backend):
                # The commit may be on the disk. Only the database knows, and it has not replied.
                raise OutcomeUnknown(f"{self._backend.server} did not answer a commit") from error
            self._give_up(error)
        finally:
            # A confirmed commit stays confirmed, even if returning the connection fails.
            await self.rollback()

    async def rollback(self) -> None:
        """Roll back, and return the connection to the pool, or close it if the rollback fails. Never raise."""
        with suppress(Exception):
            await self._give_back()

    async def _run(self, ask: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        try:
            await self._take_turn()
            answer = await undisturbed(self._ask(ask), self._backend)
        except Exception as error:
            self._error = error
            if self._begun and is_lost(error, self._backend):
                await self._throw_away()
                raise Aborted(self._lost) from error
            self._give_up(error)
        self._begun = True
        return answer

    async def _ask(self, ask: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        try:
            return await ask(await self._borrow())
        except Exception as error:
            if self._begun or not is_lost(error, self._backend):
                raise
        await self._throw_away()
        return await ask(await self._borrow())

    async def _borrow(self) -> Session:
        if self._session is None:
            self._session = await open_session(self._engine, writing=self._writing)
        return self._session

    async def _take_turn(self) -> None:
        lock = self._backend.writers_turn
        if lock is None or self._has_turn or not self._writing:
            return
        try:
            async with asyncio.timeout(_TURN_TIMEOUT):
                await lock.acquire()
        except TimeoutError:
            raise Aborted(f"{self._backend.server} was busy with other writers for too long") from None
        self._has_turn = True

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
            if self._has_turn and (lock := self._backend.writers_turn) is not None:
                self._has_turn = False
                lock.release()

    @property
    def _lost(self) -> str:
        return f"the connection to {self._backend.server} was lost, and nothing done"

    def _expect_writing(self) -> None:
        if not self._writing:
            raise RuntimeError("a block that only reads can neither write nor lock")

    def _give_up(self, error: Exception) -> NoReturn:
        known = translated(error, self._backend)
        if known is error:
            raise error
        raise known from error


@asynccontextmanager
async def one_transaction(engine: AsyncEngine, *, writing: bool) -> AsyncGenerator[TransactionBlock, None]:
    """A block outside of the unit of work. If it writes, its end commits; an error rolls back."""
    block = TransactionBlock(engine, writing)
    try:
        yield block
        if writing:
            await finish(block.commit())
    finally:
        await finish(block.rollback())
