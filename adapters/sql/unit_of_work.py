from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from attrs import define, frozen
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.after_commit import AfterCommit, Committed, tell_nobody
from adapters.sql.block import Block
from adapters.sql.dead_letters import SqlDeadLetters
from adapters.sql.events import SqlEvents
from adapters.sql.finishing import finish
from adapters.sql.idempotency_keys import SqlIdempotencyKeys
from adapters.sql.inbox import SqlInbox
from adapters.sql.orders import SqlOrders
from adapters.sql.outbox import SqlOutbox
from adapters.sql.payments import SqlPayments
from adapters.sql.products import SqlProducts
from adapters.sql.stock_adjustments import SqlStockAdjustments
from application.ports import Transaction


@define(eq=False)
class SqlUnitOfWork:
    """Transactions on PostgreSQL or SQLite.

    A block that is cancelled is rolled back; one that is cancelled while it commits is committed, and others are told
    of it, before the cancellation goes on.
    """

    _engine: AsyncEngine
    _after_commit: AfterCommit = tell_nobody

    def __call__(self) -> AbstractAsyncContextManager[Transaction]:
        return self._transaction()

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        return self._reading()

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Transaction, None]:
        block, committed = Block(self._engine, writing=True), Committed()
        try:
            yield _SqlTransaction.of(block, committed)
        except BaseException:
            await finish(block.rollback())
            raise
        await finish(self._commit(block, committed))

    @asynccontextmanager
    async def _reading(self) -> AsyncGenerator[Transaction, None]:
        block = Block(self._engine, writing=False)
        try:
            yield _SqlTransaction.of(block, Committed())
        finally:
            await finish(block.rollback())

    async def _commit(self, block: Block, committed: Committed) -> None:
        await block.commit()
        await self._after_commit(committed)


@frozen
class _SqlTransaction:
    orders: SqlOrders
    products: SqlProducts
    stock_adjustments: SqlStockAdjustments
    payments: SqlPayments
    events: SqlEvents
    outbox: SqlOutbox
    inbox: SqlInbox
    idempotency_keys: SqlIdempotencyKeys
    dead_letters: SqlDeadLetters

    @classmethod
    def of(cls, block: Block, committed: Committed) -> "_SqlTransaction":
        outbox = SqlOutbox(block, committed)
        return cls(
            SqlOrders(block, committed),
            SqlProducts(block, committed),
            SqlStockAdjustments(block),
            SqlPayments(block),
            SqlEvents(block, outbox),
            outbox,
            SqlInbox(block),
            SqlIdempotencyKeys(block, committed),
            SqlDeadLetters(block),
        )
