"""Every use case, made from ports and limits: the whole composition, in one place.

The programs, the tests and the simulation call `assemble`, so that what the simulation proves is what runs.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from random import uniform
from typing import Any, Literal, TypeVar

from attrs import field, frozen

from application.access.audit import ListAudit
from application.access.authenticate import Authenticate, FindKeys, NoteUse
from application.access.guarded import Guarded, for_anybody, for_own_account, with_own_order, with_own_order_audited
from application.access.manage_keys import CreateKey, IssuedKey, ListKeys, NewKey, RevokeKey, RotateKey
from application.access.principal import Principal
from application.access.scopes import Scope
from application.admin.seed_orders import PlaceExamples, SeedOrders
from application.carts.change_cart import EmptyCart, GetCart, PutItem
from application.carts.order_cart import OrderCart
from application.catalogue.add_products import AddProducts, NewProduct
from application.catalogue.adjust_stock import AdjustStock, StockCall
from application.catalogue.change_product import ChangeProduct, ProductCall
from application.catalogue.get_product import GetProduct
from application.catalogue.list_adjustments import ListAdjustments
from application.catalogue.list_products import CountLeft, ListProducts, ReadPages, ReadStock
from application.execution.after_commit import AfterCommit, InvalidateOlder, PropagateChanges, tell_nobody
from application.execution.batching import Batched
from application.execution.circuit_breaker import CircuitBreaker
from application.execution.conditional import OrderCall
from application.execution.idempotency import Keyed, Outcome, ProductOutcome, Replayed
from application.execution.prune_keys import PruneKeys
from application.execution.retry_conflicts import Retrying
from application.execution.simulated_work import SimulatedWork
from application.feed.give_positions import GivePositions, PruneFeed
from application.feed.read_feed import FeedPage, ReadFeed
from application.feed.tail import FeedTail, Follower
from application.intake.check_order import CheckedOrder, CheckOrder
from application.intake.order_intake import AutoIntake, DirectIntake, OrderIntake, QueuedIntake
from application.intake.persist_orders import PersistOrders
from application.intake.place_order import NumberedRequest, NumberRequests, OrderRequest, PlaceOrder, RequestedItem
from application.intake.queue_orders import Queued, QueueOrders, QueueOrRecord
from application.intake.refresh_prices import RefreshPrices
from application.intake.unrecorded import TellUnrecorded, Unrecorded
from application.jobs.add_job import AddJob
from application.jobs.change_job import CancelJob, RetryJob
from application.jobs.kinds import MESSAGE, SEED_ORDERS, JobHandler
from application.jobs.look_up import GetJob, ListJobs
from application.jobs.remove_jobs import RemoveJobs
from application.jobs.run_jobs import RunJobs
from application.messages.list_messages import ListMessages
from application.messages.post_message import PostMessage, StoreMessage
from application.messaging.by_order import ByOrder
from application.messaging.consumer import Consumer
from application.messaging.dead_letters import DecideDeadLetters, ListDeadLetters, RecordDeadLetters
from application.messaging.relay import RelayEvents
from application.messaging.republish import RepublishRequests
from application.messaging.subscriptions import INTAKE, PAYMENTS, REFUNDS, WORK_QUEUES, WorkQueue
from application.orders.cancel_order import CancelOrder
from application.orders.change_details import ChangeDetails
from application.orders.complete_order import CompleteOrder
from application.orders.delete_order import DeleteOrder
from application.orders.expand_order import ExpandedOrder, ExpandOrder
from application.orders.expire_orders import ExpireOrders
from application.orders.get_history import GetHistory
from application.orders.get_order import GetOrder
from application.orders.list_orders import ListOrders
from application.orders.search_orders import SearchOrders
from application.payments.pipeline import ProviderPipeline
from application.payments.process_payment import ProcessPayment
from application.payments.refund_order import RefundOrder
from application.payments.request_payment import RequestPayment
from application.payments.request_refund import RequestRefund
from application.ports.api_keys import ApiKey
from application.ports.audit import AuditEntry
from application.ports.caching import CacheFence, CatalogueCache, PriceList, RecentOrders, StockCache
from application.ports.carts import Carts
from application.ports.environment import Clock, NewId, NewSecret
from application.ports.messaging import DeadLetterQueue, EventPublisher, IntakeQueue, OutboxSignal, Subscription
from application.ports.order_search import OrdersFound
from application.ports.payments import PaymentProvider, ProviderLedger
from application.ports.persistence import RecordedAdjustment, UnitOfWork
from application.reconciliation.find_stuck import FindStuck
from application.reconciliation.find_unrecorded import FindUnrecorded
from application.reconciliation.reconcile import Reconcile
from application.reconciliation.repair import Repair
from domain.cart import Cart
from domain.catalogue.product import Product
from domain.errors import DomainError
from domain.ids import CustomerId, JobId, ProductId
from domain.jobs.job import Job
from domain.message import Message
from domain.orders.events import Event, OrderAccepted
from domain.orders.order import Order
from domain.orders.status import OrderStatus

C = TypeVar("C")
R = TypeVar("R")

_PlaceCall = NumberedRequest | Keyed[NumberedRequest]
# A change of one order, by a caller.
ChangeOrder = Callable[[Principal, OrderCall], Awaitable[Order]]


@frozen(kw_only=True)
class Ports:
    """The adapters behind all ports. Making an adapter opens no connection, so an unused one costs nothing."""

    # Made with the work that follows each commit.
    unit_of_work: Callable[[AfterCommit], UnitOfWork]
    recent_orders: RecentOrders
    # The orders that this process has queued. They can be read here while the shared recent orders can't.
    queued_here: RecentOrders
    catalogue_cache: CatalogueCache
    stock_cache: StockCache
    carts: Carts
    cache_fence: CacheFence
    price_list: PriceList
    outbox_signal: OutboxSignal
    # Tells the readers of the feed in this process that there are new positions.
    feed_signal: OutboxSignal
    publisher: EventPublisher
    intake_queue: IntakeQueue
    subscription: Callable[[WorkQueue], Subscription]
    dead_letter_queue: Callable[[WorkQueue], DeadLetterQueue]
    provider: PaymentProvider
    provider_ledger: ProviderLedger
    now: Clock
    new_id: NewId
    new_secret: NewSecret
    # The name under which this process holds the lease on the outbox.
    relay_name: str
    # Told of every order that a committed transaction changed.
    order_log: Callable[[Sequence[Order]], None] = tell_nobody


@frozen(kw_only=True)
class Limits:
    """The kind of intake, the sizes of batches, and the timeouts in seconds."""

    intake: Literal["direct", "queued", "auto"] = "direct"
    batch_max: int = 256
    batches_in_flight: int = 2
    longest_wait: float = 1.0
    consumer_batch_max: int = 256
    # Calls to the payment provider at once, of charges and of refunds each.
    max_charges: int = 128
    # For one of these calls, in seconds.
    charge_timeout: float = 30.0
    relay_batch_max: int = 512
    # Together these are less than the deadline of a request. The broker's timeout leaves time to connect. A stale
    # connection to the database is detected after 3 s. The last timeout is for the last attempt to store an order.
    database_timeout: float = 1.0
    broker_timeout: float = 2.0
    last_resort_timeout: float = 4.0
    # How long the circuit breaker waits before it tries a server again.
    breaker_pause: float = 1.0
    order_expiry: timedelta = timedelta(minutes=30)
    # The pause between two looks for unpaid orders. A time without two looks was an outage.
    expiry_look: timedelta = timedelta(seconds=30)
    stuck_after: timedelta = timedelta(minutes=10)
    # How long the stored responses of idempotency keys are kept. None: for good.
    key_retention: timedelta | None = None
    # The least and the most seconds that a worker takes over each message.
    simulated_work: tuple[float, float] = (0.0, 0.0)
    # None keeps positions for good.
    feed_retention: timedelta | None = None
    # Readers that follow the feed at once, in this process.
    followers_max: int = 500
    # How many jobs a worker runs at once, and for how long those that have ended are kept.
    max_jobs: int = 8
    job_retention: timedelta = timedelta(days=7)


@frozen(kw_only=True)
class UseCases:
    """Everything that the shop can do. Use cases that many call at once are batched."""

    # What callers from outside may reach. Each takes the caller first, and stands behind the check of its scope.
    place_order: Callable[[Principal, OrderRequest | Keyed[OrderRequest]], Awaitable[Order | Queued | Replayed]]
    get_order: Callable[[Principal, OrderCall], Awaitable[Order]]
    list_orders: Guarded[..., Sequence[Order]]
    search_orders: Guarded[..., OrdersFound]
    check_order: Callable[[Principal, Sequence[RequestedItem]], Awaitable[CheckedOrder]]
    expand_order: Callable[[Principal, OrderCall], Awaitable[ExpandedOrder]]
    get_history: Callable[[Principal, OrderCall], Awaitable[Sequence[Event]]]
    cancel_order: ChangeOrder
    change_details: ChangeOrder
    complete_order: ChangeOrder
    delete_order: ChangeOrder
    request_payment: Callable[[Principal, OrderCall | Keyed[OrderCall]], Awaitable[Order | Replayed]]
    request_refund: ChangeOrder
    get_product: Callable[[Principal, ProductId], Awaitable[Product]]
    list_products: Guarded[..., Sequence[Product]]
    add_products: Callable[[Principal, Sequence[NewProduct | Keyed[NewProduct]]], Awaitable[Sequence[ProductOutcome]]]
    change_product: Callable[[Principal, ProductCall], Awaitable[Product]]
    adjust_stock: Callable[[Principal, Sequence[StockCall | Keyed[StockCall]]], Awaitable[Sequence[ProductOutcome]]]
    list_adjustments: Guarded[..., Sequence[RecordedAdjustment]]
    get_cart: Callable[[Principal, CustomerId], Awaitable[Cart]]
    put_item: Guarded[..., Cart]
    empty_cart: Guarded[..., Cart]
    order_cart: Guarded[..., Order | Queued | Replayed]
    read_feed: Guarded[..., FeedPage]
    follow_feed: Guarded[..., Follower]

    list_audit: Guarded[..., Sequence[AuditEntry]]
    create_key: Callable[[Principal, NewKey], Awaitable[IssuedKey]]
    list_keys: Guarded[..., Sequence[ApiKey]]
    rotate_key: Guarded[..., IssuedKey]
    revoke_key: Callable[[Principal, str], Awaitable[ApiKey]]
    post_message: Guarded[..., Job]
    list_messages: Guarded[..., Sequence[Message]]
    get_job: Callable[[Principal, JobId], Awaitable[Job]]
    list_jobs: Guarded[..., Sequence[Job]]
    retry_job: Callable[[Principal, JobId], Awaitable[Job]]
    cancel_job: Callable[[Principal, JobId], Awaitable[Job]]
    seed_orders: Callable[[Principal, int | Keyed[int]], Awaitable[Job]]

    # What only the programs and the commands of Holdfast do.
    authenticate: Authenticate
    run_jobs: RunJobs
    remove_jobs: RemoveJobs
    refresh_prices: RefreshPrices
    expire_orders: ExpireOrders
    # None where stored responses are kept for good.
    prune_keys: PruneKeys | None
    consumers: Sequence[Consumer]
    record_dead_letters: Sequence[RecordDeadLetters]
    relay_events: RelayEvents
    give_positions: GivePositions
    prune_feed: PruneFeed
    feed_tail: FeedTail
    republish_requests: RepublishRequests
    list_dead_letters: ListDeadLetters
    decide_dead_letters: DecideDeadLetters

    reconcile: Reconcile
    repair: Repair

    _batches: "_Batches" = field(alias="batches")

    @property
    def by_hand(self) -> Mapping[OrderStatus, ChangeOrder]:
        """The use case for each status that a shop sets by hand. No other status can be set from outside."""
        return {
            OrderStatus.CANCELLED: self.cancel_order,
            OrderStatus.COMPLETED: self.complete_order,
            OrderStatus.REFUNDED: self.request_refund,
        }

    async def drained(self) -> None:
        """Wait until every call of a batched use case has its answer, even if its caller was cancelled."""
        await self._batches.drained()


@frozen
class _Batches:
    """Makes batched use cases, and remembers them so that all can be drained."""

    _limits: Limits
    _made: list[Batched[Any, Any]] = field(factory=list, init=False)

    def __call__(self, work: Callable[[Sequence[C]], Awaitable[Sequence[R | Exception]]]) -> Batched[C, R]:
        batched: Batched[C, R] = Batched(
            work,
            max_size=self._limits.batch_max,
            max_in_flight=self._limits.batches_in_flight,
            longest_wait=self._limits.longest_wait,
        )
        self._made.append(batched)
        return batched

    async def drained(self) -> None:
        # A batch of one use case may make calls of another.
        while busy := [batched for batched in self._made if batched.is_busy]:
            for batched in busy:
                await batched.drained()


def assemble(ports: Ports, limits: Limits) -> UseCases:
    now, recent, provider = ports.now, ports.recent_orders, ports.provider
    catalogue, stock, fence = ports.catalogue_cache, ports.stock_cache, ports.cache_fence
    uow = ports.unit_of_work(PropagateChanges(recent, catalogue, stock, fence, ports.outbox_signal, ports.order_log))
    unrecorded = Unrecorded(recent, ports.queued_here)
    batches = _Batches(limits)

    def changing(
        needs: Scope,
        change: Callable[[Sequence[OrderCall]], Awaitable[Sequence[Order | DomainError]]],
        *,
        by_shop: bool = False,
    ) -> ChangeOrder:
        work: Batched[OrderCall, Order] = batches(TellUnrecorded(change, unrecorded))
        return Guarded(needs, with_own_order_audited(work), by_shop=by_shop)

    def changing_once(
        needs: Scope, change: Callable[[Sequence[OrderCall | Keyed[OrderCall]]], Awaitable[Sequence[Outcome]]]
    ) -> Callable[[Principal, OrderCall | Keyed[OrderCall]], Awaitable[Order | Replayed]]:
        work: Batched[OrderCall | Keyed[OrderCall], Order | Replayed] = batches(TellUnrecorded(change, unrecorded))
        return Guarded(needs, with_own_order(work))

    persist_orders = PersistOrders(uow, now)
    process_payment = ProviderPipeline(
        ProcessPayment(uow, provider, now), max_calls=limits.max_charges, timeout=limits.charge_timeout
    )
    refund_order = ProviderPipeline(
        RefundOrder(uow, provider, now), max_calls=limits.max_charges, timeout=limits.charge_timeout
    )
    expire_orders = ExpireOrders(uow, now, limits.order_expiry, look_every=limits.expiry_look)
    intake = _intake(ports, limits, batches, PlaceOrder(uow, now), persist_orders)
    get_product: Batched[ProductId, Product] = batches(GetProduct(uow))
    count_left = CircuitBreaker(CountLeft(uow), seconds=limits.database_timeout, pause=limits.breaker_pause)
    pages = ReadPages(uow, catalogue, fence, ReadStock(stock, count_left))
    read_feed = ReadFeed(uow)
    feed_tail = FeedTail(read_feed, ports.feed_signal, most=limits.followers_max)
    get_order = batches(GetOrder(uow, recent, unrecorded, fence))
    # The kinds of jobs. A new kind is a handler, and a line here.
    job_kinds: dict[str, JobHandler] = {
        MESSAGE: StoreMessage(uow),
        SEED_ORDERS: PlaceExamples(uow, PlaceOrder(uow, now)),
    }
    add_job = AddJob(uow, ports.new_id, now)
    find_stuck = FindStuck(uow, now, limits.order_expiry, limits.stuck_after)

    return UseCases(
        place_order=Guarded(Scope.ORDERS_WRITE, for_own_account(intake)),
        get_cart=Guarded(Scope.ORDERS_READ, GetCart(ports.carts)),
        put_item=Guarded(Scope.ORDERS_WRITE, PutItem(ports.carts, get_product)),
        empty_cart=Guarded(Scope.ORDERS_WRITE, EmptyCart(ports.carts)),
        order_cart=Guarded(Scope.ORDERS_WRITE, OrderCart(ports.carts, intake, ports.new_id)),
        get_order=Guarded(Scope.ORDERS_READ, with_own_order(get_order)),
        list_orders=Guarded(Scope.ORDERS_READ, ListOrders(uow, recent)),
        search_orders=Guarded(Scope.ORDERS_READ, SearchOrders(uow, recent)),
        check_order=Guarded(Scope.ORDERS_READ, for_anybody(CheckOrder(uow))),
        expand_order=Guarded(Scope.ORDERS_READ, with_own_order(ExpandOrder(uow, recent, unrecorded))),
        get_history=Guarded(Scope.ORDERS_READ, with_own_order(GetHistory(uow, recent, unrecorded))),
        cancel_order=changing(Scope.ORDERS_WRITE, CancelOrder(uow, now)),
        change_details=changing(Scope.ORDERS_WRITE, ChangeDetails(uow, now)),
        complete_order=changing(Scope.ORDERS_WRITE, CompleteOrder(uow, now), by_shop=True),
        delete_order=changing(Scope.ORDERS_WRITE, DeleteOrder(uow, now)),
        request_payment=changing_once(Scope.PAYMENTS_WRITE, RequestPayment(uow, ports.new_id, now)),
        request_refund=changing(Scope.REFUNDS_WRITE, RequestRefund(uow, now)),
        get_product=Guarded(None, for_anybody(get_product)),
        list_products=Guarded(None, for_anybody(ListProducts(batches(pages)))),
        add_products=Guarded(Scope.PRODUCTS_WRITE, AddProducts(uow, now)),
        change_product=Guarded(Scope.PRODUCTS_WRITE, ChangeProduct(uow, now, ports.price_list)),
        adjust_stock=Guarded(Scope.STOCK_ADJUST, AdjustStock(uow, now)),
        list_audit=Guarded(Scope.AUDIT_READ, ListAudit(uow)),
        create_key=Guarded(Scope.KEYS_WRITE, CreateKey(uow, ports.new_secret, now)),
        list_keys=Guarded(Scope.KEYS_WRITE, ListKeys(uow)),
        rotate_key=Guarded(Scope.KEYS_WRITE, RotateKey(uow, ports.new_secret, now)),
        revoke_key=Guarded(Scope.KEYS_WRITE, RevokeKey(uow, now)),
        authenticate=Authenticate(
            CircuitBreaker(batches(FindKeys(uow)), seconds=limits.database_timeout, pause=limits.breaker_pause),
            batches(NoteUse(uow, now)),
            now,
        ),
        read_feed=Guarded(Scope.EVENTS_READ, read_feed),
        follow_feed=Guarded(Scope.EVENTS_READ, feed_tail.follow),
        list_adjustments=Guarded(Scope.STOCK_ADJUST, ListAdjustments(uow)),
        post_message=Guarded(Scope.ORDERS_WRITE, PostMessage(add_job, get_order)),
        list_messages=Guarded(Scope.ORDERS_READ, ListMessages(uow, get_order)),
        get_job=Guarded(Scope.ORDERS_READ, GetJob(uow, unrecorded)),
        list_jobs=Guarded(Scope.ORDERS_READ, ListJobs(uow), by_shop=True),
        retry_job=Guarded(Scope.ORDERS_WRITE, RetryJob(uow), by_shop=True),
        cancel_job=Guarded(Scope.ORDERS_WRITE, CancelJob(uow), by_shop=True),
        seed_orders=Guarded(Scope.ADMIN, SeedOrders(add_job)),
        run_jobs=RunJobs(uow, job_kinds, limit=limits.max_jobs),
        remove_jobs=RemoveJobs(uow, limits.job_retention),
        refresh_prices=RefreshPrices(uow, ports.price_list),
        expire_orders=expire_orders,
        prune_keys=None if limits.key_retention is None else PruneKeys(uow, now, limits.key_retention),
        consumers=(
            _consumer(INTAKE, ports, limits, persist_orders),
            _consumer(PAYMENTS, ports, limits, ByOrder(process_payment)),
            _consumer(REFUNDS, ports, limits, ByOrder(refund_order)),
        ),
        record_dead_letters=[
            RecordDeadLetters(work.name, ports.dead_letter_queue(work), uow, now) for work in WORK_QUEUES
        ],
        relay_events=RelayEvents(
            uow,
            ports.publisher,
            InvalidateOlder(recent),
            now,
            ports.relay_name,
            limit=limits.relay_batch_max,
        ),
        give_positions=GivePositions(uow, ports.feed_signal, ports.relay_name, limit=limits.relay_batch_max),
        prune_feed=PruneFeed(uow, limits.feed_retention),
        feed_tail=feed_tail,
        republish_requests=RepublishRequests(uow, now),
        list_dead_letters=ListDeadLetters(uow),
        decide_dead_letters=DecideDeadLetters(uow, now),
        reconcile=Reconcile(
            uow, ports.provider_ledger, now, limits.stuck_after, find_stuck, FindUnrecorded(uow, recent, now)
        ),
        repair=Repair(uow, provider, process_payment.until_done, expire_orders, persist_orders),
        batches=batches,
    )


def _consumer(
    work: WorkQueue, ports: Ports, limits: Limits, handle: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
) -> Consumer:
    if any(limits.simulated_work):
        handle = SimulatedWork(handle, partial(uniform, *limits.simulated_work))
    return Consumer(
        work,
        ports.subscription(work),
        handle,
        max_batch=limits.consumer_batch_max,
        max_late=limits.max_charges,
    )


def _intake(
    ports: Ports, limits: Limits, batches: _Batches, place_order: PlaceOrder, persist_orders: PersistOrders
) -> OrderIntake:
    """The intake that the limits name. Each server has its timeout, and the database has one for each use."""
    number = NumberRequests(ports.new_id, ports.now)
    place: Batched[_PlaceCall, Order | Replayed] = batches(place_order)
    if limits.intake == "direct":
        return DirectIntake(number, place)
    persist: Batched[OrderAccepted, None] = batches(persist_orders)

    def breaker(work: Callable[[C], Awaitable[R]], seconds: float) -> CircuitBreaker[C, R]:
        return CircuitBreaker(work, seconds=seconds, pause=limits.breaker_pause)

    queue: Batched[_PlaceCall, Order | Queued] = batches(
        QueueOrders(
            ports.price_list,
            breaker(ports.intake_queue.put_many, limits.broker_timeout),
            ports.recent_orders,
            ports.queued_here,
            breaker(persist, limits.database_timeout),
        )
    )
    queue_or_record = QueueOrRecord(
        queue,
        breaker(Retrying(place), limits.last_resort_timeout),
        breaker(Retrying(persist), limits.last_resort_timeout),
    )
    if limits.intake == "queued":
        return QueuedIntake(number, queue_or_record, place)
    return AutoIntake(number, breaker(place, limits.database_timeout), queue_or_record)
