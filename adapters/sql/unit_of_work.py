from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from attrs import define, frozen
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.finishing import finish
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.repositories.dead_letters import SqlDeadLetters
from adapters.sql.repositories.events import SqlEvents
from adapters.sql.repositories.idempotency_keys import SqlIdempotencyKeys
from adapters.sql.repositories.inbox import SqlInbox
from adapters.sql.repositories.orders import SqlOrders
from adapters.sql.repositories.outbox import SqlOutbox
from adapters.sql.repositories.payments import SqlPayments
from adapters.sql.repositories.products import SqlProducts
from adapters.sql.repositories.stock_adjustments import SqlStockAdjustments
from application.execution.after_commit import AfterCommit, Committed, propagate_nothing
from application.ports.persistence import Transaction


@define(eq=False)
class SqlUnitOfWork:
    """Transactions on PostgreSQL or SQLite.

    A block that is cancelled is rolled back; one that is cancelled while it commits is committed, and others are told
    of it, before the cancellation goes on.
    """

    _engine: AsyncEngine
    _after_commit: AfterCommit = propagate_nothing

    def __call__(self) -> AbstractAsyncContextManager[Transaction]:
        return self._transaction()

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        return self._reading()

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Transaction, None]:
        block, committed = TransactionBlock(self._engine, writing=True), Committed()
        try:
            yield _SqlTransaction.of(block, committed)
        except BaseException:
            await finish(block.rollback())
            raise
        await finish(self._commit(block, committed))

    @asynccontextmanager
    async def _reading(self) -> AsyncGenerator[Transaction, None]:
        block = TransactionBlock(self._engine, writing=False)
        try:
            yield _SqlTransaction.of(block, Committed())
        finally:
            await finish(block.rollback())

    async def _commit(self, block: TransactionBlock, committed: Committed) -> None:
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
    def of(cls, block: TransactionBlock, committed: Committed) -> "_SqlTransaction":
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
