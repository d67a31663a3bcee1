from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cached_property
from typing import TypeVar

from attrs import define
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.finishing import finish
from adapters.sql.core.transaction import TransactionBlock
from adapters.sql.repositories.announcements import SqlAnnouncements
from adapters.sql.repositories.api_keys import SqlApiKeys
from adapters.sql.repositories.audit import SqlAudit
from adapters.sql.repositories.consistency_checks import SqlConsistencyChecks
from adapters.sql.repositories.dead_letters import SqlDeadLetters
from adapters.sql.repositories.earlier_prices import SqlEarlierPrices
from adapters.sql.repositories.ended_sessions import SqlEndedSessions
from adapters.sql.repositories.events import SqlEvents
from adapters.sql.repositories.feed import SqlFeed
from adapters.sql.repositories.files import SqlFiles
from adapters.sql.repositories.idempotency_keys import SqlIdempotencyKeys
from adapters.sql.repositories.jobs import SqlJobs
from adapters.sql.repositories.messages import SqlMessages
from adapters.sql.repositories.open_periods import SqlOpenPeriods
from adapters.sql.repositories.orders import SqlOrders
from adapters.sql.repositories.outbox import SqlOutbox
from adapters.sql.repositories.payments import SqlPayments
from adapters.sql.repositories.products import SqlProducts
from adapters.sql.repositories.shop import SqlShop
from adapters.sql.repositories.stock_adjustments import SqlStockAdjustments
from adapters.sql.repositories.waiting_work import SqlWaitingWork
from adapters.sql.repositories.webhook_deliveries import SqlWebhookDeliveries
from adapters.sql.repositories.webhook_endpoints import SqlWebhookEndpoints, SqlWebhookProgress
from application.execution.after_commit import AfterCommit, Committed, propagate_nothing
from application.ports.persistence import Transaction


@define(eq=False)
class SqlUnitOfWork:
    """Transactions on a database that SQLAlchemy knows.

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
            yield _SqlTransaction(block, committed)
        except BaseException:
            await finish(block.rollback())
            raise
        await finish(self._commit(block, committed))

    @asynccontextmanager
    async def _reading(self) -> AsyncGenerator[Transaction, None]:
        block = TransactionBlock(self._engine, writing=False)
        try:
            yield _SqlTransaction(block, Committed())
        finally:
            await finish(block.rollback())

    async def _commit(self, block: TransactionBlock, committed: Committed) -> None:
        await block.commit()
        await self._after_commit(committed)


T = TypeVar("T")


def _repository(make: Callable[[TransactionBlock, Committed], T]) -> "cached_property[T]":
    """Made when it is used, over the block of its transaction. Those who hear of the commit are told what it writes.

    A transaction uses a few of them, and begins for each batch.
    """

    def get(tx: "_SqlTransaction") -> T:
        return make(tx.block, tx.committed)

    return cached_property(get)


class _SqlTransaction:
    def __init__(self, block: TransactionBlock, committed: Committed) -> None:
        self.block, self.committed = block, committed

    orders = _repository(SqlOrders)
    products = _repository(SqlProducts)
    earlier_prices = _repository(lambda block, _: SqlEarlierPrices(block))
    stock_adjustments = _repository(lambda block, _: SqlStockAdjustments(block))
    payments = _repository(lambda block, _: SqlPayments(block))
    events = _repository(SqlEvents)
    outbox = _repository(SqlOutbox)
    announcements = _repository(lambda block, _: SqlAnnouncements(block))
    feed = _repository(lambda block, _: SqlFeed(block))
    waiting_work = _repository(lambda block, _: SqlWaitingWork(block))
    idempotency_keys = _repository(SqlIdempotencyKeys)
    dead_letters = _repository(lambda block, _: SqlDeadLetters(block))
    open_periods = _repository(lambda block, _: SqlOpenPeriods(block))
    api_keys = _repository(lambda block, _: SqlApiKeys(block))
    ended_sessions = _repository(lambda block, _: SqlEndedSessions(block))
    jobs = _repository(lambda block, _: SqlJobs(block))
    messages = _repository(lambda block, _: SqlMessages(block))
    files = _repository(lambda block, _: SqlFiles(block))
    shop = _repository(lambda block, _: SqlShop(block))
    audit = _repository(lambda block, _: SqlAudit(block))
    consistency_checks = _repository(lambda block, _: SqlConsistencyChecks(block))
    webhook_endpoints = _repository(lambda block, _: SqlWebhookEndpoints(block))
    webhook_progress = _repository(lambda block, _: SqlWebhookProgress(block))
    webhook_deliveries = _repository(lambda block, _: SqlWebhookDeliveries(block))
