"""Faults that are built in on purpose. A simulation that does not find each of them can't be trusted to find others."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from attrs import define, evolve, field, frozen

from adapters.memory.caches import MemoryRecentOrders
from adapters.memory.overlay import Overlay
from adapters.memory.repositories.idempotency_keys import MemoryIdempotencyKeys
from adapters.memory.store import KeptFile
from application.access.guarded import for_anybody
from application.access.principal import Principal
from application.carts.order_cart import OrderCart
from application.catalogue.add_products import NewProduct
from application.catalogue.products_by_name import ProductsByName
from application.errors import Aborted, OutcomeUnknown, Trouble, Unavailable
from application.execution.after_commit import Committed, InvalidateOlder
from application.execution.conditional import order_id_in
from application.execution.idempotency import Keyed, once
from application.execution.retry_conflicts import Retrying
from application.exports.pages import ReadExportPages
from application.exports.request import ExportRequest
from application.feed.read_feed import FeedPage, ReadFeed
from application.feed.tail import FeedTail, Follower
from application.imports.run_import import RESULTS
from application.intake.order_intake import AutoIntake, RefuseWhatIsNew
from application.intake.persist_orders import PersistOrders
from application.intake.place_order import KeyUndecided, PlaceOrder
from application.jobs.run_jobs import JobAttempt, RunJobs
from application.messages.post_message import StoreMessage
from application.messaging.announcing import Announcer, delay_after
from application.messaging.by_order import ByOrder
from application.messaging.relay import RelayEvents
from application.messaging.subscriptions import QUEUE_OF
from application.operations.bulk import ITEMS
from application.operations.bulk_operations import StartBulk
from application.orders.queued_changes import MakeChange, QueueChanges
from application.orders.record_changes import RecordChanges
from application.payments.pipeline import Answered, ProviderPipeline
from application.payments.process_payment import ProcessPayment
from application.payments.refund_order import RefundOrder
from application.payments.request_refund import RequestRefund
from application.ports.audit import AuditEntry
from application.ports.catalogue import EarlierPrice
from application.ports.feed import Position
from application.ports.files import StoredFile
from application.ports.idempotency import IdempotencyKey, StoredResponse
from application.ports.jobs import DueJobs
from application.ports.messaging import Delivery
from application.ports.outbox import OutboxEntry
from application.ports.payments import PaymentDeclined
from application.ports.webhooks import Attempt
from application.reconciliation.run import RunReconciliation
from domain.cart import Cart, Checkout
from domain.catalogue.product import Product
from domain.errors import InvalidOrder
from domain.ids import CustomerId, JobId, OrderId, PaymentId, ProductId
from domain.jobs.job import Job, JobStatus
from domain.money import Money
from domain.orders.events import EventId, OrderAccepted, OrderChangeAccepted, event_id
from domain.orders.order import Order
from domain.orders.status import HAS_MONEY
from domain.orders.time_to_pay import OpenPeriod
from domain.webhooks.delivery import DeliveryStatus
from domain.webhooks.endpoint import Ordering
from tests.simulation.database import LOCKING
from tests.simulation.faults import (
    AUTO,
    AWAY,
    CARTS,
    CHECKS,
    DECISIONS,
    HURRY,
    IMPORTS,
    LATE_NEWS,
    REPEATS,
    RESTORED,
    WATCHED,
)
from tests.simulation.house import Parts, World
from tests.simulation.run import Report, simulate


@frozen
class Mutation:
    """What is wrong, and the parts that make it so. `seeds` is how many runs it may take to find it."""

    name: str
    parts: Parts
    seeds: int = 1000


def catch(mutation: Mutation) -> Report | None:
    """The first run that finds it."""
    reports = (simulate(seed, parts=mutation.parts) for seed in range(mutation.seeds))
    return next((report for report in reports if report.findings), None)


@define(eq=False, slots=False)
class _Before:
    """Stands in front of a port, and passes on what it does not change."""

    inner: Any
    world: World

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class _AcknowledgesAtOnce(_Before):
    async def receive(self, limit: int) -> list[Delivery]:
        deliveries: list[Delivery] = await self.inner.receive(limit)
        await self.inner.ack(deliveries)
        return deliveries

    async def ack(self, deliveries: Sequence[Delivery]) -> None: ...


class _AcknowledgesFailures(_Before):
    async def retry(self, delivery: Delivery, *, reason: str) -> None:
        await self.inner.ack([delivery])


class _NewKeyForEachAttempt(_Before):
    def __init__(self, inner: Any, world: World) -> None:
        super().__init__(inner, world)
        self._attempts: Counter[PaymentId] = Counter()

    async def charge(self, key: PaymentId, amount: Any) -> str:
        self._attempts[key] += 1
        if self._attempts[key] > 1:
            key = PaymentId(UUID(int=key.int + (self._attempts[key] << 64)))
        return str(await self.inner.charge(key, amount))


class _TakesNoAnswerForNo(_Before):
    async def charge(self, key: PaymentId, amount: Any) -> str:
        try:
            return str(await self.inner.charge(key, amount))
        except Trouble as error:
            raise PaymentDeclined(str(error)) from error


class _RefundsOnPaper(_Before):
    async def refund(self, key: PaymentId, amount: Any) -> None: ...


class _Transactions(_Before):
    """Transactions whose repositories are those of `repositories`, where it names them."""

    repositories: dict[str, Callable[..., Any]] = {}  # noqa: RUF012 - each kind of transactions has its own

    def __call__(self) -> Any:
        return self._block(self.inner())

    def reading(self) -> Any:
        return self._block(self.inner.reading())

    @asynccontextmanager
    async def _block(self, block: Any) -> Any:
        async with block as tx:
            yield _Exchanged(
                tx, {name: make(getattr(tx, name), self.world) for name, make in self.repositories.items()}
            )


class _Exchanged:
    def __init__(self, tx: Any, exchanged: dict[str, Any]) -> None:
        self._tx = tx
        self.__dict__.update(exchanged)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)


class _ForgetsPayments(_Before):
    """As if the id of the next payment were made by chance."""

    async def get_many(self, ids: Collection[OrderId], *, lock: bool = False) -> dict[OrderId, Order]:
        found: dict[OrderId, Order] = await self.inner.get_many(ids, lock=lock)
        for order in found.values():
            if not order.is_paid_or_being_paid:
                order.payment_id = PaymentId(self.world.new_id())
        return found


class _NamesPaymentsByChance(_Transactions):
    repositories = {"orders": _ForgetsPayments}  # noqa: RUF012 - as above


class _PublishesAtOnce(_Before):
    async def add_many(self, events: Sequence[Any]) -> None:
        await self.inner.add_many(events)
        for event in events:
            self.world.broker.enqueue_now(event)


class _PublishesBeforeCommit(_Transactions):
    repositories = {"events": _PublishesAtOnce}  # noqa: RUF012 - as above


class _OnlyTakes(_Before):
    async def save_many(self, products: Sequence[Product]) -> None:
        kept = await self.inner.get_many({product.id for product in products})
        await self.inner.save_many([product for product in products if product.stock <= kept[product.id].stock])


class _GivesNothingBack(_Transactions):
    repositories = {"products": _OnlyTakes}  # noqa: RUF012 - as above


class _ReadsUnlocked(_Before):
    async def get_many(self, ids: Collection[ProductId], *, lock: bool = False) -> Any:
        return await self.inner.get_many(ids)


class _WithoutProductLocks(_Transactions):
    repositories = {"products": _ReadsUnlocked}  # noqa: RUF012 - as above


class _ForgetsPrices(_Before):
    async def of_products(self, ids: Collection[ProductId]) -> list[EarlierPrice]:
        return []


class _WithoutEarlierPrices(_Transactions):
    repositories = {"earlier_prices": _ForgetsPrices}  # noqa: RUF012 - as above


class _OrdersWhatIsThere(OrderCart):
    """Empties a cart after its order, and remembers nothing of it before."""

    async def __call__(self, by: Principal, owner: CustomerId, *, key: str | None = None) -> Any:
        cart = await self._carts.get(owner)
        answer = await self._finish(owner, Checkout(str(key), cart.check_out("some").items))
        await self._carts.change(owner, Cart.emptied)
        return answer


class _BelievesAnyLease(_Before):
    def _is_taken(self, name: str, by: str) -> bool:
        store = self.world.database.store
        lease = store.leases.get(name)
        return lease is not None and lease.holder != by and lease.until > store.now()

    async def claim(self, *, by: str, limit: int) -> list[OutboxEntry]:
        return [] if self._is_taken("relay", by) else list(await self.inner.claim(by=by, limit=limit))

    async def give_positions(self, *, by: str, limit: int) -> int:
        return 0 if self._is_taken("feed", by) else int(await self.inner.give_positions(by=by, limit=limit))


class _WithoutADoubt(_Transactions):
    repositories = {"outbox": _BelievesAnyLease, "feed": _BelievesAnyLease}  # noqa: RUF012 - as above


class _GivesAnyway(_Before):
    """Believes that it still has the lease, and takes the last position without a lock."""

    async def give_positions(self, *, by: str, limit: int) -> int:
        changes = self.inner.inner._changes  # noqa: SLF001 - it stands in for the adapter
        store = self.world.database.store
        waiting = store.feed_queue[:limit]
        changes.fed = {
            Position(position): (id_, store.now()) for position, id_ in enumerate(waiting, store.feed_given + 1)
        }
        await asyncio.sleep(0)
        return len(waiting)


class _GivesWithoutLease(_Transactions):
    repositories = {"feed": _GivesAnyway}  # noqa: RUF012 - as above


class _NumbersAtOnce(_Before):
    async def add_many(self, events: Sequence[Any]) -> None:
        await self.inner.add_many(events)
        store = self.world.database.store
        for event in events:
            store.feed_given = Position(store.feed_given + 1)
            store.feed[store.feed_given] = (event_id(event), store.now())


class _GivesBeforeCommit(_Transactions):
    repositories = {"events": _NumbersAtOnce}  # noqa: RUF012 - as above


class _Reversed(_Before):
    async def give_positions(self, *, by: str, limit: int) -> int:
        store = self.world.database.store
        if len(store.feed_queue) > 1:
            store.feed_queue.reverse()
        given: int = await self.inner.give_positions(by=by, limit=limit)
        return given


class _GivesOutOfSequence(_Transactions):
    repositories = {"feed": _Reversed}  # noqa: RUF012 - as above


@frozen
class _SkipsWhatDoesNotFit(ReadFeed):
    async def page(self, **options: Any) -> FeedPage:
        page = await super().page(**options)
        return evolve(page, next=page.newest)


class _StartsAtTheTail(FeedTail):
    def has(self, follower: Follower) -> bool:
        if self._position is None:
            return False
        self._attached.add(follower)
        return True


class _QueuesAgain(_Before):
    async def re_enqueue(self, events: Sequence[Any]) -> None:
        await self.inner.re_enqueue(events)
        self.world.database.store.feed_queue += [event_id(event) for event in events]


class _GivesASecondPosition(_Transactions):
    repositories = {"outbox": _QueuesAgain}  # noqa: RUF012 - as above


class _KeepsNoRefusedWork(_Before):
    async def put_off(self, entries: Sequence[OutboxEntry]) -> None: ...


class _DropsRefusedWork(_Transactions):
    repositories = {"waiting_work": _KeepsNoRefusedWork}  # noqa: RUF012 - as above


class _KnowsNoKey(_Before):
    async def claim(self, keys: Collection[IdempotencyKey]) -> dict[IdempotencyKey, StoredResponse | None]:
        return dict.fromkeys(keys)

    async def add_many(self, kept: Sequence[StoredResponse]) -> None: ...


class _WithoutKeys(_Transactions):
    repositories = {"idempotency_keys": _KnowsNoKey}  # noqa: RUF012 - as above


class _ClaimsWhatIsTaken(_Before):
    async def claim(self, keys: Collection[IdempotencyKey]) -> dict[IdempotencyKey, StoredResponse | None]:
        found = await self.inner.claim(keys)
        return {key: found.get(key) for key in keys}

    async def add_many(self, kept: Sequence[StoredResponse]) -> None:
        # As with ON CONFLICT DO NOTHING: a primary key that raised would have the last word.
        stored = self.world.database.store.idempotency_keys
        await self.inner.add_many([new for new in kept if new.key not in stored])


class _WithoutClaims(_Transactions):
    repositories = {"idempotency_keys": _ClaimsWhatIsTaken}  # noqa: RUF012 - as above


class _AnswersAsOfNow(_Before):
    async def claim(self, keys: Collection[IdempotencyKey]) -> dict[IdempotencyKey, StoredResponse | None]:
        found = await self.inner.claim(keys)
        orders = self.world.database.store.orders
        return {
            key: evolve(kept, answer=orders[kept.answer.id]) if kept and isinstance(kept.answer, Order) else kept
            for key, kept in found.items()
        }


class _RepliesAsOfNow(_Transactions):
    repositories = {"idempotency_keys": _AnswersAsOfNow}  # noqa: RUF012 - as above


class _WritesDown(_Before):
    """Keeps to itself what is to be kept under keys."""

    def __init__(self, inner: Any, world: World) -> None:
        super().__init__(inner, world)
        self.kept: list[StoredResponse] = []

    async def add_many(self, kept: Sequence[StoredResponse]) -> None:
        self.kept += kept


class _KeepsKeysAfterwards(_Transactions):
    """In a transaction of their own, when what was done is committed."""

    @asynccontextmanager
    async def _block(self, block: Any) -> Any:
        async with block as tx:
            keys = _WritesDown(tx.idempotency_keys, self.world)
            yield _Exchanged(tx, {"idempotency_keys": keys})
        if keys.kept:
            async with self.inner() as tx:
                await tx.idempotency_keys.add_many(keys.kept)


class _KeepsKeysAtOnce(_Before):
    async def add_many(self, kept: Sequence[StoredResponse]) -> None:
        store = self.world.database.store
        stored = Overlay(store.idempotency_keys)
        await MemoryIdempotencyKeys(stored, Committed(), store.now).add_many(kept)
        self.world.database.store.idempotency_keys |= stored.written


class _KeepsKeysBefore(_Transactions):
    repositories = {"idempotency_keys": _KeepsKeysAtOnce}  # noqa: RUF012 - as above


class _CommitsLater(_Before):
    """Answers first, and commits in a task that it does not await."""

    def __call__(self) -> Any:
        return self._block()

    @asynccontextmanager
    async def _block(self) -> Any:
        block = self.inner()
        tx = await block.__aenter__()
        try:
            yield tx
        except BaseException as error:
            await block.__aexit__(type(error), error, error.__traceback__)
            raise
        task = asyncio.create_task(self._commit(block))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _commit(self, block: Any) -> None:
        await asyncio.sleep(0.05)
        await block.__aexit__(None, None, None)


class _TakesNoAnswerForNotDone(_Before):
    """Reports a commit without an answer as one that did not happen."""

    def __call__(self) -> Any:
        return self._block()

    @asynccontextmanager
    async def _block(self) -> Any:
        try:
            async with self.inner() as tx:
                yield tx
        except OutcomeUnknown as error:
            raise Unavailable(str(error)) from error


def _in_any_order(rows: Callable[..., Sequence[Hashable]]) -> Callable[..., Sequence[Hashable]]:
    def turned(*args: Any, **options: Any) -> Sequence[Hashable]:
        found = rows(*args, **options)
        return found[::-1] if asyncio.get_running_loop().steps % 2 else found  # type: ignore[attr-defined]

    return turned


_LOCKS_AS_THEY_COME: Final = {call: _in_any_order(rows) for call, rows in LOCKING.items()}


@define(eq=False)
class _PublishesAfterRemoving(RelayEvents):
    async def __call__(self) -> int:
        async with self._unit_of_work() as tx:
            entries = await tx.outbox.claim(by=self._relay, limit=self._limit)
            await tx.outbox.remove(entries)
        await self._publisher.enqueue([entry for entry in entries if entry.type in QUEUE_OF])
        await self._publisher.announce(entries)
        return len(entries)


@define(eq=False)
class _TakesSentForConfirmed(RelayEvents):
    async def __call__(self) -> int:
        async with self._unit_of_work() as tx:
            entries = await tx.outbox.claim(by=self._relay, limit=self._limit)
        await self._publisher.enqueue([entry for entry in entries if entry.type in QUEUE_OF])
        await self._publisher.announce(entries)
        async with self._unit_of_work() as tx:
            await tx.outbox.remove(entries)
        return len(entries)


class _AnnouncesTogether(Announcer):
    async def _announce(self, batch: Sequence[OutboxEntry]) -> None:
        heard = {entry.position for entry in await self._heard(batch)}
        self._note_heard([entry for entry in batch if entry.position in heard])
        refused = [entry for entry in batch if entry.position not in heard]
        self._put_off(refused, lambda attempts: delay_after(attempts + 1), refusals=1)


@define(eq=False)
class _KnowsNoWaves(RelayEvents):
    def __attrs_post_init__(self) -> None:
        RelayEvents.__attrs_post_init__(self)
        self._announcer = _AnnouncesTogether(self._publisher, self._now)


@define(eq=False)
class _StoresWhatIsOld(RelayEvents):
    def _forget_outcomes(self) -> None: ...


class _OneOutcome(_Before):
    """Takes as work only what was announced."""

    def __init__(self, inner: Any, world: Any) -> None:
        super().__init__(inner, world)
        self._announced: set[Any] = set()

    async def announce(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        announced: list[OutboxEntry] = await self.inner.announce(entries)
        self._announced |= {entry.id for entry in announced}
        return announced

    async def enqueue(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        taken: list[OutboxEntry] = await self.inner.enqueue([each for each in entries if each.id in self._announced])
        return taken


@define(eq=False)
class _LetsWorkWait(RelayEvents):
    def __attrs_post_init__(self) -> None:
        self._publisher = _OneOutcome(self._publisher, None)
        RelayEvents.__attrs_post_init__(self)


@define(eq=False)
class _DropsWhatIsRefused(RelayEvents):
    def _note_outcomes(self) -> None:
        RelayEvents._note_outcomes(self)  # noqa: SLF001 - it is this class
        self._put_off = {}


class _AnnouncesAtOnce(Announcer):
    def begin(self, entries: Sequence[OutboxEntry], late: Sequence[Any]) -> None:
        super().begin([evolve(entry, first_put_off=None) for entry in entries], late)


@define(eq=False)
class _KnowsNobodyBehind(RelayEvents):
    def __attrs_post_init__(self) -> None:
        RelayEvents.__attrs_post_init__(self)
        self._announcer = _AnnouncesAtOnce(self._publisher, self._now)


@frozen
class _LeavesTheCachesAlone(InvalidateOlder):
    async def __call__(self, entries: Sequence[OutboxEntry]) -> None: ...


class _TakesAnyVersion(MemoryRecentOrders):
    async def put_many(self, orders: Sequence[Order]) -> bool:
        for order in orders:
            self._known.pop(order.id, None)
        return await super().put_many(orders)


class _ForgetsItsInvalidations(MemoryRecentOrders):
    async def invalidate_below(self, versions: Mapping[OrderId, int]) -> bool:
        for id_, version in versions.items():
            if id_ in self._known and self._known[id_].version < version:
                del self._known[id_]
        return True


@frozen
class _GivesBackTwice(ProcessPayment):
    async def record(self, answered: Sequence[Answered[Any]]) -> list[None]:
        await super().record(answered)
        declined = {each.order.id for each in answered if isinstance(each.answer.said, PaymentDeclined)}
        async with self._unit_of_work() as tx:
            for order in (await tx.orders.get_many(declined, lock=True)).values():
                products = await tx.products.get_many({line.product_id for line in order.lines}, lock=True)
                for line in order.lines:
                    products[line.product_id].give_back(line.quantity)
                await tx.products.save_many(list(products.values()))


@frozen
class _ChargesWithoutStock(ProcessPayment):
    """Asks for the money of those that came to nothing as well."""

    async def due(self, ids: Any, *more: Any) -> Any:
        found = await super().due(ids, *more)
        async with self._unit_of_work.reading() as tx:
            orders = await tx.orders.get_many(ids)
        return found | {id_: order for id_, order in orders.items() if order.payment_id}


@frozen
class _RefundsWithoutAsking(RefundOrder):
    async def ask(self, order: Order) -> None: ...


@frozen
class _RefundsWhoeverIsNamed(RefundOrder):
    async def due(self, ids: Any, *more: Any) -> Any:
        found = await super().due(ids, *more)
        async with self._unit_of_work.reading() as tx:
            orders = await tx.orders.get_many(ids)
        return found | {id_: order for id_, order in orders.items() if order.status in HAS_MONEY}


class _AddsForEach(ProductsByName):
    async def _added(self, by: Principal, names: Sequence[str], price: Money) -> dict[str, Product]:
        added = await self._add(by, [NewProduct(name=name, price=price, stock=0) for name in names])
        return {product.name: product for product in added if isinstance(product, Product)}


class _AsksEachTime(ProviderPipeline[Any]):
    def _ask(self, order: Order, ask: Callable[..., Any]) -> Any:
        return asyncio.get_running_loop().create_task(self._permitted(order, ask))


class _WaitsForEver(ProviderPipeline[Any]):
    async def _permitted(self, order: Order, ask: Callable[..., Any]) -> Any:
        async with self._permits:
            return await ask(order)


class _AcknowledgesWhatIsLate(ProviderPipeline[Any]):
    async def __call__(self, *arguments: Any) -> Any:
        outcomes = await super().__call__(*arguments)
        return [None if isinstance(outcome, asyncio.Future) else outcome for outcome in outcomes]


class _Told:
    """The provider, asked for what a message says."""

    def __init__(self, inner: Any, message: Any) -> None:
        self.inner, self.message = inner, message

    async def charge(self, key: PaymentId, _: Any) -> Any:
        return await self.inner.charge(key, self.message.amount)

    async def refund(self, key: PaymentId, amount: Any) -> None:
        await self.inner.refund(key, amount)


class _ToldUnder(_Told):
    async def charge(self, _: PaymentId, amount: Any) -> Any:
        return await self.inner.charge(self.message.payment_id, amount)


@frozen
class _BelievesTheAmount(ByOrder[Any]):
    async def __call__(self, messages: Sequence[Any]) -> Any:
        return [await self._told(message) for message in messages]

    async def _told(self, message: Any, told: Callable[..., Any] = _Told) -> Any:
        work: Any = self._work._work  # type: ignore[attr-defined]  # noqa: SLF001 - of the pipeline
        told_work = evolve(work, provider=told(work._provider, message))  # noqa: SLF001
        [outcome] = await ProviderPipeline(told_work).until_done([message.order_id])
        return outcome


@frozen
class _BelievesThePayment(_BelievesTheAmount):
    async def _told(self, message: Any, told: Callable[..., Any] = _ToldUnder) -> Any:
        return await super()._told(message, told)


@frozen
class _RemembersMessages(ByOrder[Any]):
    """Skips a message with the id of another that was handled."""

    seen: set[EventId] = field(factory=set, init=False)

    async def __call__(self, messages: Sequence[Any]) -> Any:
        outcomes = {}
        for message in messages:
            if event_id(message) not in self.seen:
                [outcome] = await self._work([message.order_id], {})
                outcomes[event_id(message)] = await outcome if isinstance(outcome, asyncio.Future) else outcome
        self.seen.update(id_ for id_, outcome in outcomes.items() if outcome is None)
        return [outcomes.get(event_id(message)) for message in messages]


@frozen
class _PlacesAgain(PlaceOrder):
    """Takes no answer for nothing done, and begins anew with another id."""

    async def __call__(self, requests: Sequence[Any]) -> Any:
        try:
            return await super().__call__(requests)
        except OutcomeUnknown:
            return await super().__call__([_renumbered(request) for request in requests])


def _renumbered(request: Any) -> Any:
    if isinstance(request, Keyed):
        return evolve(request, call=_renumbered(request.call))
    return evolve(request, order_id=OrderId(UUID(int=request.order_id.int ^ 1 << 40)))


@frozen
class _KeepsWhatMayPass(PlaceOrder):
    """Stores a temporary error as the response of the key."""

    async def __call__(self, requests: Sequence[Any]) -> Any:
        try:
            return await super().__call__(requests)
        except Trouble as error:
            refusal = InvalidOrder(str(error))
            async with self._unit_of_work() as tx:
                return await once(tx, requests, partial(_refuse_all, refusal))


async def _refuse_all(refusal: InvalidOrder, calls: Sequence[Any]) -> list[InvalidOrder]:
    return [refusal] * len(calls)


@frozen
class _OverlooksConditions(RequestRefund):
    async def __call__(self, calls: Sequence[Any]) -> Any:
        return await super().__call__([order_id_in(call) for call in calls])


@frozen
class _AnswersBeforeCommit(PlaceOrder):
    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_unit_of_work", _CommitsLater(self._unit_of_work, None))  # type: ignore[arg-type]


class _ConfirmsAtOnce(_Before):
    async def put_many(self, accepted: Sequence[Any]) -> set[OrderId]:
        asyncio.create_task(self.inner.put_many(accepted)).add_done_callback(
            lambda done: done.cancelled() or done.exception()
        )
        return {event.order_id for event in accepted}


@frozen
class _RecordsLater(PersistOrders):
    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_unit_of_work", _CommitsLater(self._unit_of_work, None))  # type: ignore[arg-type]


@frozen
class _OnlyRecords(PersistOrders):
    """Loses on the queued road that an order is to be paid for."""

    async def __call__(self, events: Sequence[Any]) -> Any:
        return await super().__call__([evolve(event, pay=False) for event in events])


class _FindsNothing(_Before):
    async def get_many(self, _: Any, **__: Any) -> dict[Any, Any]:
        return {}


class _WithoutALook(_Transactions):
    repositories = {"orders": _FindsNothing}  # noqa: RUF012 - as above


@frozen
class _RecordsAgain(PersistOrders):
    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_unit_of_work", _WithoutALook(self._unit_of_work, None))  # type: ignore[arg-type]


@frozen
class _StandsByRefusals(PersistOrders):
    """Refuses an order that was accepted under a key, because the key has another stored response."""

    async def __call__(self, events: Sequence[Any]) -> Any:
        keys = {
            event.order_id: IdempotencyKey(event.asked_under.scope, event.asked_under.key)
            for event in events
            if event.asked_under
        }
        async with self._unit_of_work() as tx:
            kept = await tx.idempotency_keys.claim(set(keys.values()))
        answers = {id_: found.answer for id_, key in keys.items() if (found := kept.get(key))}
        refused = {id_ for id_, answer in answers.items() if not isinstance(answer, Order)}
        outcomes = iter(await super().__call__([event for event in events if event.order_id not in refused]))
        return [answers[event.order_id] if event.order_id in refused else next(outcomes) for event in events]


@frozen
class _TellsOfWhatIsNowhere(Retrying[Any, Any]):
    async def __call__(self, call: Any) -> Any:
        try:
            return await super().__call__(call)
        except Trouble:
            if not isinstance(call, OrderAccepted):
                raise


@frozen
class _RefusesWhatMayBeQueued(RefuseWhatIsNew):
    """Refuses what the database does not know, whatever is in the queue."""

    async def _is_nothing_queued(self, _: KeyUndecided) -> bool:
        return True


@frozen
class _OvertakesWhatWaits(MakeChange):
    """Makes each change as soon as its order is there."""

    async def _turn(self, job: Job) -> OrderId:
        return await super()._turn(evolve(job, arguments={**job.arguments, "after": []}))


@frozen
class _ForgetsWhatIsInTheQueue(QueueChanges[Any, Any]):
    """Makes a change at once though an earlier one was accepted, and is still in the queue."""

    async def _on_the_way(self, _: Any) -> dict[OrderId, list[JobId]]:
        return {}


@frozen
class _ReadsNoSequence(RecordChanges):
    """Makes changes in the sequence in which their messages come."""

    def _job(self, event: OrderChangeAccepted, others: Sequence[Job], now: datetime) -> Job:
        job = super()._job(event, others, now)
        return evolve(job, arguments={**job.arguments, "after": [], "unrecorded": []})


@frozen
class _BelievesEveryMessage(RecordChanges):
    def _is_ours(self, *_: Any) -> bool:
        return True


@frozen
class _TellsNobodyOfRefusals(MakeChange):
    async def _tell(self, *_: Any) -> None: ...


class _SeesNoChanges(_Before):
    async def changes_of(self, _: Any) -> list[Job]:
        return []


class _ForgetsWhatWaits(_Transactions):
    repositories = {"jobs": _SeesNoChanges}  # noqa: RUF012 - as above


class _SearchesLate(_Before):
    """Finds orders only some time after they were recorded, as a copy of the database would."""

    async def search(self, wanted: Any, **options: Any) -> Any:
        found = await self.inner.search(wanted, **options)
        store = self.world.database.store
        before = store.now() - timedelta(seconds=1)
        return evolve(found, orders=[order for order in found.orders if store.recorded_at[order.id] < before])


class _SearchesACopy(_Transactions):
    repositories = {"orders": _SearchesLate}  # noqa: RUF012 - as above


class _AlwaysOpen(_Before):
    """Counts the time of an outage, too."""

    async def newest(self, *, limit: int) -> list[OpenPeriod]:
        return [OpenPeriod(datetime.min.replace(tzinfo=UTC), self.world.database.now())]


class _CountsOutages(_Transactions):
    repositories = {"open_periods": _AlwaysOpen}  # noqa: RUF012 - as above


@frozen
class _QueuesUnderANewId(AutoIntake):
    async def __call__(self, request: Any) -> Any:
        call = self._number(request)
        try:
            return await self._place(call)
        except (Unavailable, Aborted, OutcomeUnknown):
            return await self._queue(_renumbered(call))


@frozen
class _LooksAtNoScope:
    _needs: Any
    _operation: Callable[..., Any]
    _by_shop: bool = field(default=False, kw_only=True)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._operation(*args, **kwargs)


class _CompletesBeforeItIsDone(RunJobs):
    async def _claim(self, room: int) -> list[Job]:
        found: list[Job] = await super()._claim(room)
        for job in found:
            await self._change(JobAttempt(job), lambda now, at: now.complete(at=at, result=None))
        return found


class _NeverTakesOver(_Before):
    async def due(self, *args: Any, **options: Any) -> DueJobs:
        found: DueJobs = await self.inner.due(*args, **options)
        return evolve(found, jobs=[job for job in found.jobs if job.status is not JobStatus.EXECUTING])


class _LeavesLostJobs(_Transactions):
    repositories = {"jobs": _NeverTakesOver}  # noqa: RUF012 - as above


class _StoresUnderANewId(StoreMessage):
    async def __call__(self, job: Job, progress: Any) -> Any:
        return await super().__call__(evolve(job, id=JobId(UUID(int=job.id.int ^ job.attempts))), progress)


class _ReadsBeforeItsPosition(ReadExportPages):
    """The rows are those of a moment ago: what has happened meanwhile is neither in them nor after the position."""

    async def newest(self) -> Position:
        self.__dict__["early"] = await super().__call__(ALL_ORDERS, {}, until=Position(0))
        await asyncio.sleep(0.5)
        return await super().newest()

    async def __call__(self, wanted: Any, place: Any, *, until: Position) -> Any:
        early = self.__dict__.pop("early", None)
        return early or await super().__call__(wanted, place, until=until)


class _WritesBesideOthers(_Before):
    async def append(self, file: Any, content: bytes, state: Any) -> Any:
        return await self.inner.append(await self.inner.get(file.job_id, file.name) or file, content, state)


class _LetsWritersMix(_Transactions):
    repositories = {"files": _WritesBesideOthers}  # noqa: RUF012 - as above


class _NotesRowsLater(_Before):
    """Keeps to itself what has become of the rows of an import."""

    def __init__(self, inner: Any, world: World) -> None:
        super().__init__(inner, world)
        self.noted: list[tuple[Any, ...]] = []

    async def append(self, file: StoredFile, content: bytes, state: Any) -> StoredFile:
        if file.name not in {RESULTS, ITEMS} or not content:
            return await self.inner.append(file, content, state)  # type: ignore[no-any-return]
        self.noted.append((file, content, state))
        return evolve(file, size=file.size + len(content), state=dict(state))


class _NotesRowsAfterwards(_Transactions):
    """In a transaction of their own, when they are done and committed."""

    @asynccontextmanager
    async def _block(self, block: Any) -> Any:
        async with block as tx:
            files = _NotesRowsLater(tx.files, self.world)
            yield _Exchanged(tx, {"files": files})
        for noted in files.noted:
            async with self.inner() as tx:
                await tx.files.append(*noted)


class _StartsAnew(StartBulk):
    """Whatever key the request has."""

    async def __call__(self, by: Any, call: Any, **shown: Any) -> Any:
        return await super().__call__(by, call.call, **shown)


class _TellsOfRepairsBefore(RunReconciliation):
    """In a transaction of its own, before the run has ended."""

    async def _end(self, job: Any, wanted: Any, told: Any, left: Any, *, repaired: int) -> Any:
        if wanted.repairs:
            async with self._unit_of_work() as tx:
                await tx.audit.add_many(
                    [
                        AuditEntry(
                            at=self._now(),
                            by=wanted.by,
                            action="reconciliation.repaired",
                            subject=f"reconciliation {job.id}",
                        )
                    ]
                )
        return await super()._end(job, evolve(wanted, repairs=False), told, left, repaired=repaired)


class _NotesRowsAtOnce(_Before):
    async def append(self, file: StoredFile, content: bytes, state: Any) -> StoredFile:
        store, key = self.world.database.store, (file.job_id, file.name)
        kept = store.files.get(key)
        if file.name != RESULTS or kept is None or kept.file.size != file.size:
            return await self.inner.append(file, content, state)  # type: ignore[no-any-return]
        grown = evolve(file, size=file.size + len(content), state=dict(state))
        store.files[key] = KeptFile(grown, kept.content + content, store.now())
        return grown


class _NotesRowsBefore(_Transactions):
    repositories = {"files": _NotesRowsAtOnce}  # noqa: RUF012 - as above


ALL_ORDERS: Final = ExportRequest(what="orders", format="ndjson")


def _with(**classes: Callable[..., Any]) -> Parts:
    """Classes and functions of the assembly, by their names there, exchanged for these."""
    return Parts(classes=classes)


class _ForgetsFailures(_Before):
    async def add_many(self, deliveries: Sequence[Any], attempts: Any) -> None:
        await self.inner.add_many([each for each in deliveries if not each.is_open], attempts)


class _RecordsArrivalsAlone(_Transactions):
    repositories = {"webhook_deliveries": _ForgetsFailures}  # noqa: RUF012 - as above


class _ForgetsWhatIsGivenUp(_Before):
    async def add_many(self, deliveries: Sequence[Any], attempts: Any) -> None:
        await self.inner.add_many([each for each in deliveries if each.status is not DeliveryStatus.SKIPPED], attempts)


class _ListsNothingGivenUp(_Transactions):
    repositories = {"webhook_deliveries": _ForgetsWhatIsGivenUp}  # noqa: RUF012 - as above


class _KeepsNoOrder(_Before):
    async def get_many(self, ids: Collection[Any], *, lock: bool = False) -> Any:
        found = await self.inner.get_many(ids, lock=lock)
        for endpoint in found.values():
            endpoint.ordering = Ordering.BEST_EFFORT
        return found


class _SendsInAnyOrder(_Transactions):
    repositories = {"webhook_endpoints": _KeepsNoOrder}  # noqa: RUF012 - as above


class _ReadsTheClockEarly(_Before):
    async def now(self) -> datetime:
        now: datetime = await self.inner.now()
        return now - timedelta(minutes=2) if now.second % 2 else now


class _TakesForever(_Transactions):
    repositories = {"jobs": _ReadsTheClockEarly}  # noqa: RUF012 - as above


class _CountsNothing(_Before):
    async def save_many(self, progress: Sequence[Any]) -> None:
        for each in progress:
            each.filtered = 0
        await self.inner.save_many(progress)


class _LosesCount(_Transactions):
    repositories = {"webhook_progress": _CountsNothing}  # noqa: RUF012 - as above


@frozen
class _SaysNothingOfGaps:
    _inner: Any
    _telemetry: Any

    async def send(self, request: Any) -> Attempt:
        headers = {name: value for name, value in request.headers.items() if name != "holdfast-gap"}
        return await self._inner.send(evolve(request, headers=headers))  # type: ignore[no-any-return]


@frozen
class _TakesEveryAnswer:
    """As if any answer were one of a receiver that has the event."""

    _inner: Any
    _telemetry: Any

    async def send(self, request: Any) -> Attempt:
        return evolve(await self._inner.send(request), failure=None)


_WEBHOOKS: Final = {"webhooks": True}


# The weather that shows within some dozens of runs what a mutation does wrong, where any weather takes hundreds.
# Customers whose orders often get no answer, customers who pay and are refunded, and strangers who send such messages.
_NO_ANSWERS: Final[Mapping[str, Any]] = {"errand": "place", "intake": "direct", "errors": 0.15}
_CHARGES: Final[Mapping[str, Any]] = {"errand": "money"}
# Charges that come late, while nothing else is in the way.
_LATE_CHARGES: Final[Mapping[str, Any]] = {**_CHARGES, "slowest_charge": 3.0, "restarts": 0, "clock_steps": 0}
_STRANGERS: Final[Mapping[str, Any]] = {"errand": "money", "strangers": 0.9}

MUTATIONS: Final = (
    Mutation("acknowledges before the work is done", Parts(subscription=_AcknowledgesAtOnce)),
    Mutation("acknowledges what has failed", Parts(subscription=_AcknowledgesFailures)),
    Mutation(
        "skips a message with the id of one before",
        Parts(
            classes={"ByOrder": _RemembersMessages}, weather={**_STRANGERS, "errors": 0.0, "pauses": 0.0, "restarts": 0}
        ),
    ),
    Mutation("takes the amount from the message", _with(ByOrder=_BelievesTheAmount)),
    Mutation("takes the payment from the message", _with(ByOrder=_BelievesThePayment)),
    Mutation(
        "refunds an order that a message names",
        Parts(classes={"RefundOrder": _RefundsWhoeverIsNamed}, weather=_STRANGERS),
    ),
    Mutation("publishes before the commit", Parts(unit_of_work=_PublishesBeforeCommit, weather=_NO_ANSWERS)),
    Mutation("removes from the outbox before publishing", _with(RelayEvents=_PublishesAfterRemoving)),
    Mutation("takes what was sent for confirmed", _with(RelayEvents=_TakesSentForConfirmed)),
    Mutation("sends the next event without the confirm of the last", _with(RelayEvents=_KnowsNoWaves)),
    Mutation(
        "believes a lease in the future",
        Parts(unit_of_work=_WithoutADoubt, weather={"embedded": False, "clock_steps": 8}),
    ),
    Mutation(
        "gives positions without the lease",
        Parts(unit_of_work=_GivesWithoutLease, weather={"embedded": False, "restarts": 5, "errand": "money"}),
    ),
    Mutation("gives positions before the commit", Parts(unit_of_work=_GivesBeforeCommit)),
    Mutation("gives positions out of sequence", Parts(unit_of_work=_GivesOutOfSequence)),
    Mutation("gives an event that is sent again another position", Parts(unit_of_work=_GivesASecondPosition)),
    Mutation("skips what does not fit on a page of the feed", _with(ReadFeed=_SkipsWhatDoesNotFit)),
    Mutation("follows the tail before it has read up to it", _with(FeedTail=_StartsAtTheTail)),
    Mutation(
        "drops work that its queue refuses",
        Parts(unit_of_work=_DropsRefusedWork, weather={"unconfirmed": 0.6, "errand": "money"}),
    ),
    Mutation("lets work wait for its announcement", _with(RelayEvents=_LetsWorkWait)),
    Mutation(
        "puts off what was refused before another relay followed",
        Parts(
            classes={"RelayEvents": _StoresWhatIsOld},
            weather={"embedded": False, "unconfirmed": 0.5, "errors": 0.15, "errand": "money", "pauses": 0.0},
        ),
    ),
    Mutation("drops an announcement that is refused", _with(RelayEvents=_DropsWhatIsRefused)),
    Mutation("announces what waits behind a refused announcement", _with(RelayEvents=_KnowsNobodyBehind)),
    Mutation("gives stock back twice", _with(ProcessPayment=_GivesBackTwice)),
    Mutation("never gives stock back", Parts(unit_of_work=_GivesNothingBack)),
    Mutation("charges without stock", _with(ProcessPayment=_ChargesWithoutStock)),
    Mutation(
        "charges with a new key for each attempt",
        Parts(provider=_NewKeyForEachAttempt, weather={**_CHARGES, "errors": 0.08}),
    ),
    Mutation("charges with a new key after a restore", Parts(unit_of_work=_NamesPaymentsByChance, weather=RESTORED)),
    Mutation(
        "takes no answer of the provider for a decline",
        Parts(provider=_TakesNoAnswerForNo, weather={**_LATE_CHARGES, "errors": 0.1}),
    ),
    Mutation("adds what is missing once for each that asks", _with(ProductsByName=_AddsForEach)),
    Mutation("asks the provider twice at once about a payment", _with(ProviderPipeline=_AsksEachTime)),
    Mutation(
        "acknowledges what waits for a slow provider",
        Parts(classes={"ProviderPipeline": _AcknowledgesWhatIsLate}, weather={**_CHARGES, "slowest_charge": 8.0}),
    ),
    Mutation("waits for ever for the provider's answer", _with(ProviderPipeline=_WaitsForEver)),
    Mutation("refunds on paper only", Parts(provider=_RefundsOnPaper)),
    Mutation("refuses an accepted order when its price has changed", Parts(unit_of_work=_WithoutEarlierPrices)),
    Mutation(
        "remembers nothing of a cart that is being ordered",
        Parts(classes={"OrderCart": _OrdersWhatIsThere}, weather=CARTS),
    ),
    Mutation(
        "reads products without a lock",
        Parts(unit_of_work=_WithoutProductLocks, weather={"slow_locks": 0.5, "errand": "money"}),
    ),
    Mutation("locks rows in any order", Parts(locking=_LOCKS_AS_THEY_COME, weather={**_CHARGES, "slow_locks": 0.9})),
    Mutation("tells of an order before the commit", _with(PlaceOrder=_AnswersBeforeCommit)),
    Mutation(
        "places an order again when there was no answer",
        Parts(classes={"PlaceOrder": _PlacesAgain}, weather=_NO_ANSWERS),
    ),
    Mutation("knows no idempotency keys", Parts(unit_of_work=_WithoutKeys)),
    Mutation("works under a key that another works under", Parts(unit_of_work=_WithoutClaims, weather=REPEATS)),
    Mutation("answers a key with the order as it is by now", Parts(unit_of_work=_RepliesAsOfNow)),
    Mutation(
        "keeps keys after the commit", Parts(unit_of_work=_KeepsKeysAfterwards, weather={**REPEATS, "errors": 0.1})
    ),
    Mutation("keeps keys before the commit", Parts(unit_of_work=_KeepsKeysBefore)),
    Mutation("keeps an error under a key that may pass", _with(PlaceOrder=_KeepsWhatMayPass)),
    Mutation("keeps older versions in the cache", Parts(recent_orders=_TakesAnyVersion)),
    Mutation(
        "keeps an order that was read before its invalidation",
        Parts(recent_orders=_ForgetsItsInvalidations, weather=LATE_NEWS),
    ),
    Mutation("tells of a queued order before the confirm", Parts(intake_queue=_ConfirmsAtOnce)),
    Mutation("acknowledges an accepted order before it is recorded", _with(PersistOrders=_RecordsLater)),
    Mutation("does not look whether an accepted order is recorded already", _with(PersistOrders=_RecordsAgain)),
    Mutation("forgets that an accepted order is to be paid for", _with(PersistOrders=_OnlyRecords)),
    Mutation(
        "lets a kept refusal stand against an accepted order",
        Parts(
            classes={"PersistOrders": _StandsByRefusals},
            weather={"embedded": False, "intake": "queued", "errand": "new"},
        ),
    ),
    Mutation(
        "tells of an order that is neither confirmed nor recorded",
        Parts(
            classes={"Retrying": _TellsOfWhatIsNowhere},
            weather={"embedded": False, "intake": "queued", "errand": "place", "errors": 0.15},
        ),
    ),
    Mutation(
        "reports an unknown outcome as not done", Parts(unit_of_work=_TakesNoAnswerForNotDone, weather=_NO_ANSWERS)
    ),
    Mutation(
        "queues under a new id what may be recorded", Parts(classes={"AutoIntake": _QueuesUnderANewId}, weather=AUTO)
    ),
    Mutation(
        "refuses under a key what may be queued",
        Parts(
            classes={"RefuseWhatIsNew": _RefusesWhatMayBeQueued},
            weather={"embedded": False, "intake": "queued", "errand": "shown", "cache_losses": 0.05},
        ),
    ),
    Mutation(
        "makes a change before one that was accepted earlier",
        Parts(classes={"MakeChange": _OvertakesWhatWaits}, weather=HURRY),
    ),
    Mutation(
        "makes a change before one that is in the queue",
        Parts(classes={"QueueChanges": _ForgetsWhatIsInTheQueue}, weather=AWAY),
    ),
    Mutation(
        "makes the changes in the queue as they come",
        Parts(classes={"RecordChanges": _ReadsNoSequence}, weather=AWAY | {"duplicates": 0.3}),
    ),
    Mutation(
        "makes changes that nobody has signed",
        Parts(classes={"RecordChanges": _BelievesEveryMessage}, weather=AWAY | {"strangers": 0.5}),
    ),
    Mutation(
        "tells nobody that a change was refused", Parts(classes={"MakeChange": _TellsNobodyOfRefusals}, weather=HURRY)
    ),
    Mutation("lets a change overtake one that waits", Parts(unit_of_work=_ForgetsWhatWaits, weather=HURRY)),
    Mutation("overlooks the condition of a change", _with(RequestRefund=_OverlooksConditions)),
    Mutation(
        "lets a customer use the orders of others",
        Parts(classes={"with_own_order": for_anybody, "with_own_order_by": for_anybody}, weather=REPEATS),
    ),
    Mutation("looks at no scope", Parts(classes={"Guarded": _LooksAtNoScope}, weather={"errand": "trespass"})),
    Mutation("records a job as done before it is", _with(RunJobs=_CompletesBeforeItIsDone)),
    Mutation("leaves a job whose worker is gone", Parts(unit_of_work=_LeavesLostJobs)),
    Mutation(
        "exports what was there before its position",
        Parts(classes={"ReadExportPages": _ReadsBeforeItsPosition}, weather={"errand": "exports"}),
    ),
    Mutation(
        # A step of the clock ends the lease of a worker that goes on.
        "lets two writers of a file mix",
        Parts(unit_of_work=_LetsWritersMix, weather={"errand": "exports", "embedded": False, "clock_steps": 8}),
    ),
    Mutation(
        "starts a bulk operation anew each time that it is asked for",
        Parts(classes={"StartBulk": _StartsAnew}, weather=DECISIONS),
    ),
    Mutation(
        "notes what a bulk operation has done after it is committed",
        Parts(unit_of_work=_NotesRowsAfterwards, weather=DECISIONS),
    ),
    Mutation(
        "notes what an import has done after it is committed",
        Parts(unit_of_work=_NotesRowsAfterwards, weather={**IMPORTS, "errors": 0.06, "restarts": 3}),
    ),
    Mutation(
        "notes what an import has done before it is committed",
        Parts(unit_of_work=_NotesRowsBefore, weather={**IMPORTS, "errors": 0.06, "restarts": 3}),
    ),
    Mutation(
        "tells of a repair before it has ended",
        Parts(classes={"RunReconciliation": _TellsOfRepairsBefore}, weather={**CHECKS, "errors": 0.06, "restarts": 3}),
    ),
    Mutation(
        "does a job again as if it were another",
        Parts(
            classes={"StoreMessage": _StoresUnderANewId}, weather={"errand": "messages", "errors": 0.08, "restarts": 4}
        ),
    ),
    Mutation("finds an order only some time after it was recorded", Parts(unit_of_work=_SearchesACopy)),
    Mutation("counts an outage as time to pay", Parts(unit_of_work=_CountsOutages)),
    Mutation(
        "does not refresh the caches after a crash",
        Parts(
            classes={"InvalidateOlder": _LeavesTheCachesAlone},
            weather={
                **WATCHED,
                "crashes": (("recent_orders.put_many before", 0), ("unit_of_work.commit after", 4)),
            },
        ),
    ),
    Mutation(
        "a webhook that fails is not recorded", Parts(unit_of_work=_RecordsArrivalsAlone, weather=_WEBHOOKS), seeds=100
    ),
    Mutation(
        "events that an endpoint missed are not listed",
        Parts(unit_of_work=_ListsNothingGivenUp, weather=_WEBHOOKS),
        seeds=100,
    ),
    Mutation(
        "nobody says that an earlier event is missing",
        Parts(classes={"MeasuredTransport": _SaysNothingOfGaps}, weather=_WEBHOOKS),
        seeds=100,
    ),
    Mutation("webhooks of an order overtake each other", Parts(unit_of_work=_SendsInAnyOrder, weather=_WEBHOOKS)),
    Mutation(
        "the clock is read long before what it is compared with",
        Parts(unit_of_work=_TakesForever, weather={**_WEBHOOKS, "clock_steps": 0}),
        seeds=100,
    ),
    Mutation("what an endpoint does not want is not counted", Parts(unit_of_work=_LosesCount, weather=_WEBHOOKS)),
    Mutation(
        "any answer of a receiver is taken for success",
        Parts(classes={"MeasuredTransport": _TakesEveryAnswer}, weather=_WEBHOOKS),
    ),
)
