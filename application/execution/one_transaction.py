from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from attrs import frozen

from application.ports.persistence import Transaction


@frozen
class OneTransaction:
    """A unit of work whose blocks are parts of one transaction, which whoever has begun it commits or rolls back.

    So use cases that begin transactions of their own happen together, or not at all.
    """

    _tx: Transaction

    def __call__(self) -> AbstractAsyncContextManager[Transaction]:
        return self._part()

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        return self._part()

    @asynccontextmanager
    async def _part(self) -> AsyncGenerator[Transaction, None]:
        yield self._tx
