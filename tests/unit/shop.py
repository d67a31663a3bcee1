from collections.abc import Sequence
from datetime import timedelta

from attrs import Factory, define, field

from adapters.codecs.export_rows import WRITERS
from adapters.codecs.intake_queue import PublishedIntake
from adapters.codecs.standard_webhooks import SigningKey
from adapters.codecs.webhook_messages import SignedMessages
from adapters.memory.accepted_changes import MemoryAcceptedChanges
from adapters.memory.broker import MemoryBroker
from adapters.memory.cache_fence import NoCacheFence
from adapters.memory.caches import MemoryCatalogueCache, MemoryRecentOrders, MemoryStockCache
from adapters.memory.carts import MemoryCarts
from adapters.memory.overview import MemoryOverview
from adapters.memory.price_list import MemoryPriceList
from adapters.memory.reset import MemoryResetData
from adapters.memory.signal import MemoryOutboxSignal
from adapters.memory.store import MemoryStore
from adapters.memory.unit_of_work import MemoryUnitOfWork
from adapters.memory.webhooks import MemoryWebhookTransport
from application.access.principal import the_system
from application.assembly import assemble
from application.assembly.limits import Limits
from application.assembly.ports import Ports
from application.assembly.use_cases import UseCases
from application.catalogue.add_products import AddProducts, NewProduct
from application.execution.after_commit import PropagateChanges
from application.execution.idempotency import Keyed, Outcome
from application.intake.order_request import NumberRequests, OrderRequest, RequestedItem
from application.intake.persist_orders import PersistOrders
from application.intake.place_order import PlaceOrder
from application.messaging.by_order import ByOrder
from application.messaging.subscriptions import INTAKE, WORK_QUEUES
from application.orders.cancel_order import CancelOrder
from application.orders.complete_order import CompleteOrder
from application.orders.delete_order import DeleteOrder
from application.orders.expire_orders import ExpireOrders
from application.orders.queued_changes import wake
from application.payments.pipeline import ProviderPipeline
from application.payments.process_payment import ProcessPayment
from application.payments.provider_calls import ProviderCalls
from application.payments.refund_order import RefundOrder
from application.payments.request_payment import RequestPayment
from application.payments.request_refund import RequestRefund
from application.ports.caching import RecentOrders
from application.ports.outbox import OutboxEntry
from application.ports.persistence import UnitOfWork
from application.ports.telemetry import Tracer
from domain.catalogue.product import Product
from domain.errors import DomainError
from domain.ids import OrderId, UserId
from domain.money import Money
from domain.orders.events import Event, PaymentRequested, RefundRequested
from domain.orders.order import Order
from entrypoints.http.row_parsers import PARSERS
from tests import invariants
from tests.unit.builders import CountedIds, CountedSecrets, ManualClock
from tests.unit.provider import Provider
from tests.unit.unsteady import UnsteadyUnitOfWork

EXPIRY = timedelta(minutes=30)
LOOK_EVERY = timedelta(seconds=30)
# Seconds. Longer than any pause of a busy machine: none may make the shop refuse one of several who ask at once.
PATIENCE = 60.0


@define(eq=False)
class Shop:
    """The use cases in memory, with a clock, ids, a provider and errors that a test controls.

    `use_cases` are those that run, as one caller has them; beside them stand those that many tests try by the batch.
    """

    clock: ManualClock = field(factory=ManualClock)
    new_id: CountedIds = field(factory=CountedIds)
    new_secret: CountedSecrets = field(factory=CountedSecrets)
    provider: Provider = field(factory=Provider)
    # How the calls to it go.
    calls: ProviderCalls = field(default=Factory(lambda shop: ProviderCalls(shop.clock), takes_self=True))
    store: MemoryStore = field(default=Factory(lambda shop: MemoryStore(now=shop.clock), takes_self=True))
    recent: RecentOrders = field(factory=MemoryRecentOrders)
    broker: MemoryBroker = field(factory=MemoryBroker)
    receivers: MemoryWebhookTransport = field(
        default=Factory(lambda shop: MemoryWebhookTransport(shop.clock), takes_self=True)
    )
    allow_reset: bool = field(default=False, kw_only=True)
    tracer: Tracer | None = field(default=None, kw_only=True)
    # Those of the shop that sign webhooks, which may change.
    signing_keys: list[SigningKey] = field(factory=list, kw_only=True)
    ports: Ports = field(init=False)
    use_cases: UseCases = field(init=False)
    unit_of_work: UnitOfWork = field(init=False)
    unsteady: UnsteadyUnitOfWork = field(init=False)
    number: NumberRequests = field(init=False)
    place_numbered: PlaceOrder = field(init=False)
    persist_orders: PersistOrders = field(init=False)
    request_payment: RequestPayment = field(init=False)
    process_payment: ByOrder[Exception | None] = field(init=False)
    cancel_order: CancelOrder = field(init=False)
    complete_order: CompleteOrder = field(init=False)
    delete_order: DeleteOrder = field(init=False)
    request_refund: RequestRefund = field(init=False)
    refund_order: ByOrder[Exception | None] = field(init=False)
    expire_orders: ExpireOrders = field(init=False)

    def __attrs_post_init__(self) -> None:
        catalogue, stock, signal = MemoryCatalogueCache(), MemoryStockCache(), MemoryOutboxSignal()
        self.unit_of_work = MemoryUnitOfWork(
            self.store, PropagateChanges(self.recent, catalogue, stock, NoCacheFence(), signal)
        )
        self.unsteady = UnsteadyUnitOfWork(self.unit_of_work)
        queues = {work: self.broker.queue(work) for work in WORK_QUEUES}
        self.ports = Ports(
            unit_of_work=lambda _: self.unsteady,
            recent_orders=self.recent,
            queued_here=MemoryRecentOrders(),
            accepted_changes=MemoryAcceptedChanges(),
            catalogue_cache=catalogue,
            stock_cache=stock,
            carts=MemoryCarts(),
            cache_fence=NoCacheFence(),
            price_list=MemoryPriceList(),
            outbox_signal=signal,
            feed_signal=MemoryOutboxSignal(),
            publisher=self.broker,
            intake_queue=PublishedIntake(self.broker, queues[INTAKE].is_empty),
            subscription=lambda work: queues[work],
            dead_letter_queue=lambda work: queues[work].dead_letters,
            provider=self.provider,
            provider_ledger=self.provider,
            provider_calls=self.calls,
            reset_data=MemoryResetData(self.store),
            empty_queues=self.broker.empty,
            forget_caches=self._forget_caches,
            row_writers=WRITERS,
            row_parsers=PARSERS,
            webhook_transport=self.receivers,
            webhook_messages=SignedMessages(self.signing_keys),
            now=self.clock,
            new_id=self.new_id,
            new_secret=self.new_secret,
            relay_name="relay",
            overview=MemoryOverview(self.store, [self.calls.report]),
            queues=self.broker,
            tracer=self.tracer,
        )
        limits = Limits(order_expiry=EXPIRY, allow_reset=self.allow_reset, longest_wait=PATIENCE)
        self.use_cases = assemble(self.ports, limits)
        self.number = NumberRequests(self.new_id, self.clock)
        self.place_numbered = PlaceOrder(self.unsteady)
        self.persist_orders = PersistOrders(self.unsteady, wake)
        self.request_payment = RequestPayment(self.unsteady, self.clock)
        self.process_payment = ByOrder(
            ProviderPipeline(
                ProcessPayment(self.unsteady, self.provider, self.clock), one_call=self.calls.one
            ).until_done
        )
        self.cancel_order = CancelOrder(self.unsteady, self.clock)
        self.complete_order = CompleteOrder(self.unsteady, self.clock)
        self.delete_order = DeleteOrder(self.unsteady, self.clock)
        self.request_refund = RequestRefund(self.unsteady, self.clock)
        self.expire_orders = ExpireOrders(self.unsteady, self.clock, EXPIRY, look_every=LOOK_EVERY)
        self.refund_order = ByOrder(
            ProviderPipeline(RefundOrder(self.unsteady, self.provider, self.clock), one_call=self.calls.one).until_done
        )

    async def _forget_caches(self) -> None:
        assert isinstance(self.recent, MemoryRecentOrders)
        self.recent.clear()
        await self.ports.catalogue_cache.begin_epoch()

    async def sells(self, *, stock: int = 5, price: int = 1250, currency: str = "EUR") -> Product:
        new = NewProduct(name="fountain pen", price=Money(price, currency), stock=stock)
        [product] = await AddProducts(self.unit_of_work, self.clock)(the_system("test"), [new])
        assert isinstance(product, Product)
        return product

    async def place_order(self, requests: Sequence[OrderRequest | Keyed[OrderRequest]]) -> Sequence[Outcome]:
        return await self.place_numbered([self.number(request) for request in requests])

    async def order(self, *items: tuple[Product, int], user_id: int = 1) -> Order:
        [order] = await self.place_order([a_request(*items, user_id=user_id)])
        return accepted(order)

    async def payment_requested(self, *items: tuple[Product, int]) -> tuple[Order, PaymentRequested]:
        order = await self.order(*items)
        return order, await self.ask_for_payment(order)

    async def ask_for_payment(self, order: Order) -> PaymentRequested:
        [outcome] = await self.request_payment([order.id])
        accepted(outcome)
        return [event for event in await self.history(order) if isinstance(event, PaymentRequested)][-1]

    async def paid(self, *items: tuple[Product, int]) -> Order:
        order, request = await self.payment_requested(*items)
        assert await self.process_payment([request]) == [None]
        return await self.now(order)

    async def is_open_for(self, time: timedelta) -> list[OrderId]:
        """Let the time pass while the worker looks for unpaid orders. Return those that have expired."""
        expired: list[OrderId] = []
        while time > timedelta(0):
            expired += (await self.expire_orders()).expired
            step = min(time, LOOK_EVERY)
            self.clock.forward(step)
            time -= step
        return expired

    async def refund_requested(self, order: Order) -> RefundRequested:
        [outcome] = await self.request_refund([order.id])
        accepted(outcome)
        [event] = [event for event in await self.history(order) if isinstance(event, RefundRequested)]
        return event

    async def now(self, order: Order) -> Order:
        """The order as it is in the database."""
        async with self.unit_of_work.reading() as tx:
            return (await tx.orders.get_many({order.id}))[order.id]

    async def history(self, order: Order) -> list[Event]:
        async with self.unit_of_work.reading() as tx:
            return await tx.events.of_orders({order.id})

    async def stock_of(self, product: Product) -> int:
        async with self.unit_of_work.reading() as tx:
            return (await tx.products.get_many({product.id}))[product.id].stock

    async def outbox(self) -> list[OutboxEntry]:
        async with self.unit_of_work() as tx:
            return await tx.outbox.page(after=None, limit=1000)

    async def waiting_work(self) -> list[OutboxEntry]:
        async with self.unit_of_work.reading() as tx:
            return await tx.waiting_work.page(after=None, limit=1000)

    async def findings(self) -> list[str]:
        return await invariants.findings(self.unit_of_work, self.provider.ledger)


def a_request(*items: tuple[Product, int], user_id: int = 1) -> OrderRequest:
    return OrderRequest(UserId(user_id), tuple(RequestedItem(product.id, quantity) for product, quantity in items))


def accepted(outcome: Order | DomainError) -> Order:
    assert isinstance(outcome, Order), outcome
    return outcome


def types(events: Sequence[Event | OutboxEntry]) -> list[str]:
    return [event.type.removeprefix("order.") for event in events]
