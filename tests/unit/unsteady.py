from collections import deque
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from attrs import define, field, frozen

from adapters.memory.unit_of_work import MemoryTransaction
from application.errors import Unavailable
from application.ports.persistence import Transaction, UnitOfWork
from tests.acts import entries_without_an_act


@frozen
class Trouble:
    """The error that one transaction raises: before its commit, so that nothing happened, or after it."""

    error: BaseException
    committed: bool = False


@define(eq=False)
class UnsteadyUnitOfWork:
    """Transactions that fail as the test says: one entry for each, None for one that works."""

    _inner: UnitOfWork
    to_come: deque[Trouble | None] = field(factory=deque, converter=deque)
    # Out of reach for as long as this is so.
    gone: bool = False
    # How often somebody tried to reach it meanwhile.
    missed: int = 0

    def __call__(self) -> AbstractAsyncContextManager[Transaction]:
        self._reach()
        return self._transaction()

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        self._reach()
        return self._inner.reading()

    def _reach(self) -> None:
        if self.gone:
            self.missed += 1
            raise Unavailable("the database is gone")

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Transaction, None]:
        trouble = self.to_come.popleft() if self.to_come else None
        async with self._inner() as tx:
            yield tx
            if isinstance(tx, MemoryTransaction):
                assert entries_without_an_act(tx._changes) == []  # noqa: SLF001 - what is committed next
            if trouble is not None and not trouble.committed:
                raise trouble.error
        if trouble is not None:
            raise trouble.error
