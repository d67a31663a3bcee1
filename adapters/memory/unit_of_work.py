from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from attrs import define, field, frozen

from adapters.memory.repositories.announcements import MemoryAnnouncements
from adapters.memory.repositories.api_keys import MemoryApiKeys
from adapters.memory.repositories.audit import MemoryAudit
from adapters.memory.repositories.consistency_checks import MemoryConsistencyChecks
from adapters.memory.repositories.dead_letters import MemoryDeadLetters
from adapters.memory.repositories.earlier_prices import MemoryEarlierPrices
from adapters.memory.repositories.ended_sessions import MemoryEndedSessions
from adapters.memory.repositories.events import MemoryEvents
from adapters.memory.repositories.feed import MemoryFeed
from adapters.memory.repositories.files import MemoryFiles
from adapters.memory.repositories.idempotency_keys import MemoryIdempotencyKeys
from adapters.memory.repositories.jobs import MemoryJobs
from adapters.memory.repositories.messages import MemoryMessages
from adapters.memory.repositories.open_periods import MemoryOpenPeriods
from adapters.memory.repositories.orders import MemoryOrders
from adapters.memory.repositories.outbox import MemoryOutbox
from adapters.memory.repositories.payments import MemoryPayments
from adapters.memory.repositories.products import MemoryProducts
from adapters.memory.repositories.shop import MemoryShop
from adapters.memory.repositories.stock_adjustments import MemoryStockAdjustments
from adapters.memory.repositories.waiting_work import MemoryWaitingWork
from adapters.memory.repositories.webhooks import (
    MemoryWebhookDeliveries,
    MemoryWebhookEndpoints,
    MemoryWebhookProgress,
)
from adapters.memory.store import Changes, MemoryStore
from application.execution.after_commit import AfterCommit, propagate_nothing
from application.ports.persistence import Transaction


@define(eq=False)
class MemoryUnitOfWork:
    """Transactions on a store in memory. Others see their writes after the commit."""

    _store: MemoryStore = field(factory=MemoryStore)
    _after_commit: AfterCommit = propagate_nothing

    def __call__(self) -> AbstractAsyncContextManager[Transaction]:
        return self._transaction()

    def reading(self) -> AbstractAsyncContextManager[Transaction]:
        return self._snapshot()

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Transaction, None]:
        async with self._store.writing:
            changes = Changes(self._store)
            yield MemoryTransaction(changes)
            changes.commit()
        await self._after_commit(changes.committed)

    @asynccontextmanager
    async def _snapshot(self) -> AsyncGenerator[Transaction, None]:
        yield MemoryTransaction(Changes(self._store))


@frozen
class MemoryTransaction:
    """The repositories of one transaction, each made when it is used."""

    _changes: Changes

    @property
    def orders(self) -> MemoryOrders:
        return MemoryOrders(self._changes)

    @property
    def products(self) -> MemoryProducts:
        return MemoryProducts(self._changes)

    @property
    def earlier_prices(self) -> MemoryEarlierPrices:
        return MemoryEarlierPrices(self._changes)

    @property
    def stock_adjustments(self) -> MemoryStockAdjustments:
        return MemoryStockAdjustments(self._changes)

    @property
    def payments(self) -> MemoryPayments:
        return MemoryPayments(self._changes)

    @property
    def events(self) -> MemoryEvents:
        return MemoryEvents(self._changes)

    @property
    def outbox(self) -> MemoryOutbox:
        return MemoryOutbox(self._changes)

    @property
    def announcements(self) -> MemoryAnnouncements:
        return MemoryAnnouncements(self._changes)

    @property
    def feed(self) -> MemoryFeed:
        return MemoryFeed(self._changes)

    @property
    def waiting_work(self) -> MemoryWaitingWork:
        return MemoryWaitingWork(self._changes)

    @property
    def idempotency_keys(self) -> MemoryIdempotencyKeys:
        return MemoryIdempotencyKeys(
            self._changes.idempotency_keys, self._changes.committed, self._changes.store.now, self._changes.pruned_keys
        )

    @property
    def dead_letters(self) -> MemoryDeadLetters:
        return MemoryDeadLetters(self._changes.dead_letters)

    @property
    def open_periods(self) -> MemoryOpenPeriods:
        return MemoryOpenPeriods(self._changes)

    @property
    def api_keys(self) -> MemoryApiKeys:
        return MemoryApiKeys(self._changes.api_keys)

    @property
    def ended_sessions(self) -> MemoryEndedSessions:
        return MemoryEndedSessions(self._changes)

    @property
    def jobs(self) -> MemoryJobs:
        return MemoryJobs(self._changes)

    @property
    def messages(self) -> MemoryMessages:
        return MemoryMessages(self._changes.messages)

    @property
    def files(self) -> MemoryFiles:
        return MemoryFiles(self._changes)

    @property
    def shop(self) -> MemoryShop:
        return MemoryShop(self._changes)

    @property
    def audit(self) -> MemoryAudit:
        return MemoryAudit(self._changes)

    @property
    def consistency_checks(self) -> MemoryConsistencyChecks:
        return MemoryConsistencyChecks(self._changes)

    @property
    def webhook_endpoints(self) -> MemoryWebhookEndpoints:
        return MemoryWebhookEndpoints(self._changes)

    @property
    def webhook_progress(self) -> MemoryWebhookProgress:
        return MemoryWebhookProgress(self._changes)

    @property
    def webhook_deliveries(self) -> MemoryWebhookDeliveries:
        return MemoryWebhookDeliveries(self._changes)
