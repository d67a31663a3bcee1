"""The whole application, wired for one process on simulated ports."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import cached_property
from typing import Any, Final

from attrs import define, field, frozen

from adapters.codecs.intake_queue import PublishedIntake
from adapters.memory.broker import MemoryBroker
from adapters.memory.caches import MemoryCatalogueCache, MemoryRecentOrders
from adapters.memory.price_list import MemoryPriceList
from adapters.memory.signal import MemoryOutboxSignal
from application.catalogue.add_products import AddProducts
from application.catalogue.adjust_stock import AdjustStock
from application.catalogue.get_product import GetProduct
from application.catalogue.list_products import ListProducts
from application.execution.after_commit import AfterCommit, InvalidatingPublisher, PropagateChanges
from application.execution.batching import Batched
from application.execution.circuit_breaker import CircuitBreaker
from application.execution.retrying import Retrying
from application.intake.order_intake import AutoIntake, DirectIntake, QueuedIntake
from application.intake.persist_orders import PersistOrders
from application.intake.place_order import NumberRequests, PlaceOrder
from application.intake.queue_orders import QueueOrders, QueueOrRecord
from application.intake.refresh_prices import RefreshPrices
from application.intake.unrecorded import TellUnrecorded, Unrecorded
from application.messaging.consumer import Consumer
from application.messaging.dead_letters import RecordDeadLetters
from application.messaging.relay import RelayEvents
from application.messaging.republish import RepublishRequests
from application.messaging.subscriptions import INTAKE
from application.orders.cancel_order import CancelOrder
from application.orders.complete_order import CompleteOrder
from application.orders.delete_order import DeleteOrder
from application.orders.expire_orders import ExpireOrders
from application.orders.get_history import GetHistory
from application.orders.get_order import GetOrder
from application.orders.list_orders import ListOrders
from application.payments.process_payment import ProcessPayment
from application.payments.refund_order import RefundOrder
from application.payments.request_payment import RequestPayment
from application.payments.request_refund import RequestRefund
from application.ports.caching import PriceList
from application.ports.environment import Clock, NewId
from application.ports.messaging import IntakeQueue, Subscription
from application.ports.payments import PaymentProvider
from application.ports.persistence import UnitOfWork
from domain.orders.events import OrderAccepted, PaymentRequested, RefundRequested
from entrypoints.programs.prices import prices_known
from entrypoints.programs.relay import run_relay
from entrypoints.programs.worker import Worker
from tests.simulation.broker import DeadLetterConnection, QueueConnection, SimulatedBroker
from tests.simulation.database import LOCKING, Database, Locking, SimulatedUnitOfWork
from tests.simulation.faults import Faults, Process
from tests.simulation.stand_ins import (
    LateProvider,
    SimulatedCatalogueCache,
    SimulatedDeadLetterQueue,
    SimulatedDeliveries,
    SimulatedIntakeQueue,
    SimulatedPayments,
    SimulatedPriceList,
    SimulatedPublisher,
    SimulatedRecentOrders,
    SimulatedSignal,
    UnsteadyCache,
)

CATALOGUE_AGE: Final = 0.5
_EXPIRY: Final = timedelta(seconds=1.5)
# A look at nothing shows nothing, and costs as much as one at something: there are few.
_LOOKS_FOR_OVERDUE: Final = timedelta(seconds=2)
_STUCK_AFTER: Final = timedelta(seconds=5)
_NEVER: Final = timedelta(days=1)


def _as_it_is(inner: Any, _: Any) -> Any:
    return inner


@frozen(kw_only=True)
class Parts:
    """What the house is built of. A mutation exchanges one part for a broken one.

    The last ones are given what they stand in front of, and the world.
    """

    place_order: Callable[..., Any] = PlaceOrder
    auto_intake: Callable[..., Any] = AutoIntake
    persist_orders: Callable[..., Any] = PersistOrders
    rescue: Callable[..., Any] = Retrying
    process_payment: Callable[..., Any] = ProcessPayment
    refund_order: Callable[..., Any] = RefundOrder
    relay_events: Callable[..., Any] = RelayEvents
    refreshing: Callable[..., Any] = InvalidatingPublisher
    recent_orders: Callable[[], Any] = MemoryRecentOrders
    locking: Locking = field(factory=lambda: LOCKING)
    unit_of_work: Callable[[UnitOfWork, "World"], UnitOfWork] = _as_it_is
    queue: Callable[[Subscription, "World"], Subscription] = _as_it_is
    gateway: Callable[[PaymentProvider, "World"], PaymentProvider] = _as_it_is
    intake_queue: Callable[[IntakeQueue, "World"], IntakeQueue] = _as_it_is


@define(kw_only=True, eq=False)
class World:
    """What outlives every process, and what surrounds them."""

    parts: Parts
    faults: Faults
    database: Database
    broker: SimulatedBroker
    provider: LateProvider
    now: Clock
    new_id: NewId
    signal: MemoryOutboxSignal = field(factory=MemoryOutboxSignal)
    recent_orders: Any = field(init=False)
    catalogue_cache: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.recent_orders = UnsteadyCache(self.parts.recent_orders, self.faults, {"get_many": lambda _: {}})
        self.catalogue_cache = UnsteadyCache(
            lambda: MemoryCatalogueCache(max_age=CATALOGUE_AGE, time=_virtual_time),
            self.faults,
            {"get": lambda page: (page, None)},
        )

    @property
    def resumes(self) -> bool:
        """Only where the broker can lose something is it announced again: elsewhere that would hide a loss of ours."""
        return self.faults.weather.embedded or self.faults.weather.broker_losses > 0


@define(eq=False)
class Counter:
    """What clients call."""

    batched: list[Any]
    place_order: DirectIntake | QueuedIntake | AutoIntake
    request_payment: Any
    cancel_order: Any
    complete_order: Any
    request_refund: Any
    delete_order: Any
    get_order: Any
    get_product: Any
    get_history: GetHistory
    list_orders: ListOrders
    list_products: ListProducts
    add_products: AddProducts
    adjust_stock: AdjustStock

    @classmethod
    def of(cls, house: "House") -> "Counter":
        world, uow, recent_orders = house.world, house.unit_of_work, house.recent_orders
        chance, now, parts = world.faults.chance, world.now, world.parts
        size, in_flight = chance.choice((1, 2, 256)), chance.choice((1, 2))
        every: list[Any] = []

        def batched(use_case: Any) -> Any:
            every.append(Batched(use_case, max_size=size, max_in_flight=in_flight))
            return every[-1]

        queued_here = MemoryRecentOrders()
        unrecorded = Unrecorded(recent_orders, queued_here)

        def changing(use_case: Any) -> Any:
            return batched(TellUnrecorded(use_case, unrecorded))

        number, placing = NumberRequests(world.new_id, now), batched(parts.place_order(uow, now))
        place_order: Any = DirectIntake(number, placing)
        if world.faults.weather.intake != "direct":
            recording = batched(parts.persist_orders(uow, now))
            queueing = batched(
                QueueOrders(
                    house.price_list,
                    CircuitBreaker(house.intake_queue.put_many, seconds=2.0),
                    recent_orders,
                    queued_here,
                    CircuitBreaker(recording),
                )
            )
            last = (CircuitBreaker(parts.rescue(work), seconds=4.0) for work in (placing, recording))
            queue_or_record = QueueOrRecord(queueing, *last)
            place_order = QueuedIntake(number, queue_or_record, placing)
            if world.faults.weather.intake == "auto":
                place_order = parts.auto_intake(number, CircuitBreaker(placing), queue_or_record)
        return cls(
            batched=every,
            place_order=place_order,
            request_payment=changing(RequestPayment(uow, world.new_id, now)),
            cancel_order=changing(CancelOrder(uow, now)),
            complete_order=changing(CompleteOrder(uow, now)),
            request_refund=changing(RequestRefund(uow, now)),
            delete_order=changing(DeleteOrder(uow, now)),
            get_order=batched(GetOrder(uow, recent_orders, unrecorded)),
            get_product=batched(GetProduct(uow)),
            get_history=GetHistory(uow, recent_orders, unrecorded),
            list_orders=ListOrders(uow, recent_orders),
            list_products=ListProducts(uow, house.catalogue_cache),
            add_products=AddProducts(uow, now),
            adjust_stock=AdjustStock(uow, now),
        )

    async def drained(self) -> None:
        for use_case in self.batched:
            await use_case.drained()


@define(eq=False, slots=False)
class House:
    """The use cases and the programs of one process. It shares caches and broker where there are servers for them."""

    world: World
    process: Process
    unit_of_work: UnitOfWork = field(init=False)
    recent_orders: Any = field(init=False)
    catalogue_cache: Any = field(init=False)
    signal: SimulatedSignal = field(init=False)

    def __attrs_post_init__(self) -> None:
        world, process, faults = self.world, self.process, self.world.faults
        recent, catalogue, signal = world.recent_orders, world.catalogue_cache, world.signal
        if faults.weather.embedded:
            recent, signal = world.parts.recent_orders(), MemoryOutboxSignal()
            catalogue = MemoryCatalogueCache(max_age=CATALOGUE_AGE, time=_virtual_time)
        self.recent_orders = SimulatedRecentOrders(faults, process, recent)
        self.catalogue_cache = SimulatedCatalogueCache(faults, process, catalogue)
        self.signal = SimulatedSignal(faults, process, signal)
        propagate: AfterCommit = PropagateChanges(self.recent_orders, self.catalogue_cache, self.signal)
        self.unit_of_work = world.parts.unit_of_work(SimulatedUnitOfWork(world.database, process, propagate), world)

    @cached_property
    def counter(self) -> Counter:
        """Only what somebody calls is built: a relay has no clients."""
        return Counter.of(self)

    @cached_property
    def price_list(self) -> PriceList:
        return SimulatedPriceList(self.world.faults, self.process, MemoryPriceList())

    @property
    def intake_queue(self) -> IntakeQueue:
        published = PublishedIntake(self.world.broker)
        queue: IntakeQueue = SimulatedIntakeQueue(self.world.faults, self.process, published)
        return self.world.parts.intake_queue(queue, self.world)

    async def run_api(self) -> None:
        async with AsyncExitStack() as stack:
            if self.world.faults.weather.intake != "direct":
                await stack.enter_async_context(prices_known(RefreshPrices(self.unit_of_work, self.price_list)))
            await self.process.stop.wait()
            await self.counter.drained()

    async def run_relay(self) -> None:
        world, faults = self.world, self.world.faults
        publisher = world.parts.refreshing(
            SimulatedPublisher(faults, self.process, world.broker), self.recent_orders, self.catalogue_cache
        )
        limit = faults.chance.choice((2, 5, 512))
        relay_events = world.parts.relay_events(self.unit_of_work, publisher, self.process.name, limit=limit)
        await run_relay(relay_events, self.signal, self.process.stop)

    async def run_worker(self) -> None:
        world, uow = self.world, self.unit_of_work
        gateway = world.parts.gateway(SimulatedPayments(world.faults, self.process, world.provider), world)
        queues = dict(world.broker.queues)
        if world.faults.weather.intake == "direct":
            # Nothing is queued then, and whoever waits there costs time.
            del queues["intake"]
        connections = {name: QueueConnection(queue, world.faults) for name, queue in queues.items()}
        dead_letters = {name: DeadLetterConnection(queue.dead_letters, world.faults) for name, queue in queues.items()}
        batch = world.faults.chance.choice((1, 3, 256))
        worker = Worker(
            intake=Consumer(
                self._queue(connections["intake"]) if "intake" in connections else MemoryBroker().queue(INTAKE),
                OrderAccepted,
                world.parts.persist_orders(uow, world.now),
                max_batch=batch,
            ),
            payments=Consumer(
                self._queue(connections["payments"]),
                PaymentRequested,
                world.parts.process_payment(uow, gateway, world.now),
                max_batch=batch,
            ),
            refunds=Consumer(
                self._queue(connections["refunds"]),
                RefundRequested,
                world.parts.refund_order(uow, gateway, world.now),
                max_batch=batch,
            ),
            dead_letters=[
                RecordDeadLetters(name, SimulatedDeadLetterQueue(world.faults, self.process, dead), uow)
                for name, dead in dead_letters.items()
            ],
            expire_orders=ExpireOrders(uow, world.now, _EXPIRY),
            republish_requests=RepublishRequests(uow, world.now),
            expiry=10 * _LOOKS_FOR_OVERDUE,
            stuck_after=_STUCK_AFTER if world.resumes else _NEVER,
            batches=world.faults.chance.choice((1, 2)),
        )
        try:
            await worker.run(self.process.stop)
        finally:
            # The broker sees that the connection has ended, however the process did.
            for connection in (*connections.values(), *dead_letters.values()):
                connection.lose()

    async def run_up(self) -> None:
        """All of it in one process, as `holdfast up` does."""
        await RepublishRequests(self.unit_of_work, self.world.now)(idle=timedelta(0))
        async with asyncio.TaskGroup() as tasks:
            for program in (self.run_api, self.run_relay, self.run_worker):
                tasks.create_task(program())

    def _queue(self, connection: QueueConnection) -> Subscription:
        faults, process = self.world.faults, self.process
        return self.world.parts.queue(SimulatedDeliveries(faults, process, connection), self.world)


def _virtual_time() -> float:
    return asyncio.get_running_loop().time()
