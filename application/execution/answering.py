from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from math import inf
from typing import Final

from attrs import define, field

from application.ports.environment import Elapsed, loop_time
from application.ports.persistence import Transaction, UnitOfWork

# In seconds: more than the timeout after which a database that answers late counts as away.
_A_MOMENT: Final = 2.0


@define(eq=False)
class AnsweringDatabase:
    """A unit of work that knows whether the database has just answered this process.

    That tells an overloaded database, which answers some, from one that is away.
    """

    _inner: UnitOfWork
    _time: Elapsed = loop_time
    _answered_at: float = field(default=-inf, init=False)

    def __call__(self) -> AbstractAsyncContextManager[Transaction]:
        return self._noted(self._inner())

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        return self._noted(self._inner.reading())

    def answers(self) -> bool:
        return self._time() - self._answered_at < _A_MOMENT

    @asynccontextmanager
    async def _noted(self, block: AbstractAsyncContextManager[Transaction]) -> AsyncGenerator[Transaction, None]:
        async with block as tx:
            yield tx
        self._answered_at = self._time()
