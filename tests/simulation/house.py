"""The whole application, assembled for one process on simulated ports."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import cached_property
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Final, NoReturn

from attrs import define, field, frozen

from adapters.codecs.export_rows import WRITERS
from adapters.codecs.intake_queue import PublishedIntake
from adapters.codecs.webhook_messages import SignedMessages
from adapters.memory.accepted_changes import MemoryAcceptedChanges, SharedAcceptedChanges
from adapters.memory.broker import MemoryBroker
from adapters.memory.cache_fence import NoCacheFence
from adapters.memory.caches import MemoryCatalogueCache, MemoryRecentOrders, MemoryStockCache
from adapters.memory.carts import MemoryCarts
from adapters.memory.overview import MemoryOverview
from adapters.memory.price_list import MemoryPriceList
from adapters.memory.reset import MemoryResetData
from adapters.memory.signal import MemoryOutboxSignal
from adapters.memory.webhooks import MemoryWebhookTransport
from application import assembly
from application.assembly.limits import Limits
from application.assembly.ports import Ports
from application.assembly.use_cases import UseCases
from application.errors import Unavailable
from application.messaging.subscriptions import INTAKE, WorkQueue
from application.payments.provider_calls import ProviderCalls
from application.ports.environment import Clock, NewId
from application.ports.messaging import DeadLetterQueue, IntakeQueue, Subscription
from application.ports.payments import PaymentProvider
from application.ports.persistence import UnitOfWork
from entrypoints.http.row_parsers import PARSERS
from entrypoints.programs.outages import ready_for_outages
from entrypoints.programs.relay import relay
from entrypoints.programs.worker import Worker
from tests.simulation.broker import DeadLetterConnection, QueueConnection, SimulatedBroker
from tests.simulation.database import LOCKING, Database, Locking, SimulatedUnitOfWork
from tests.simulation.faults import Faults, Process
from tests.simulation.receivers import Receivers
from tests.simulation.stand_ins import (
    LateProvider,
    OnceAtATime,
    SimulatedAcceptedChanges,
    SimulatedCarts,
    SimulatedCatalogueCache,
    SimulatedDeadLetterQueue,
    SimulatedDeliveries,
    SimulatedIntakeQueue,
    SimulatedPayments,
    SimulatedPriceList,
    SimulatedPublisher,
    SimulatedRecentOrders,
    SimulatedSignal,
    SimulatedStockCache,
    SimulatedWebhooks,
    UnsteadyCache,
)
from tests.unit.builders import CountedSecrets

CATALOGUE_AGE: Final = 0.5
EXPIRY: Final = timedelta(seconds=3)
# A look at nothing shows nothing, and costs as much as one at something: there are few.
LOOKS_FOR_OVERDUE: Final = timedelta(seconds=1)
_STUCK_AFTER: Final = timedelta(seconds=5)
# Longer than any clock here is set forward.
_NEVER: Final = timedelta(days=3650)
# More than any charge takes.
_CHARGE_TIMEOUT: Final = 5.0


_MODULES: Final = [import_module(f"application.assembly.{each.name}") for each in iter_modules(assembly.__path__)]


async def _nothing() -> None: ...


def _as_it_is(inner: Any, _: Any) -> Any:
    return inner


@frozen(kw_only=True)
class Parts:
    """What a mutation exchanges for something broken.

    `classes` are classes and functions by the names that the assembly knows them by; the last ones are given what they
    stand in front of, and the world.
    """

    classes: Mapping[str, Callable[..., Any]] = field(factory=dict)
    # What the weather is, whatever the seed says.
    weather: Mapping[str, Any] = field(factory=dict)
    recent_orders: Callable[[], Any] = MemoryRecentOrders
    locking: Locking = field(factory=lambda: LOCKING)
    unit_of_work: Callable[[UnitOfWork, "World"], UnitOfWork] = _as_it_is
    subscription: Callable[[Subscription, "World"], Subscription] = _as_it_is
    provider: Callable[[PaymentProvider, "World"], PaymentProvider] = _as_it_is
    intake_queue: Callable[[IntakeQueue, "World"], IntakeQueue] = _as_it_is

    def assemble(self, ports: Ports, limits: Limits) -> UseCases:
        """The product's assembly, with some classes exchanged in each of its modules that knows them."""
        kept = [
            (vars(module), name, vars(module)[name])
            for module in _MODULES
            for name in self.classes
            if name in vars(module)
        ]
        if unknown := {*self.classes} - {name for _, name, _ in kept}:
            raise LookupError(f"the assembly doesn't know {', '.join(sorted(unknown))}")
        try:
            for names, name, _ in kept:
                names[name] = self.classes[name]
            return assembly.assemble(ports, limits)
        finally:
            for names, name, own in kept:
                names[name] = own


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
    complain: Callable[[str], None]
    receivers: Receivers
    signal: MemoryOutboxSignal = field(factory=MemoryOutboxSignal)
    carts: MemoryCarts = field(factory=MemoryCarts)
    recent_orders: Any = field(init=False)
    accepted_changes: Any = field(init=False)
    catalogue_cache: Any = field(init=False)
    stock_cache: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.empty_caches()

    def empty_caches(self) -> None:
        # What a cache that is gone answers: nothing is found, and nobody is told of a change.
        recent_gone = {
            "get_many": lambda _: {},
            "get_accepted": _nobody_answers,
            **dict.fromkeys(("put_many", "invalidate_below"), lambda _: False),
        }
        self.recent_orders = UnsteadyCache(self.parts.recent_orders, self.faults, recent_gone)
        self.accepted_changes = UnsteadyCache(
            MemoryAcceptedChanges,
            self.faults,
            {
                "of_orders": lambda _: {},
                "scan": _nobody_answers,
                **dict.fromkeys(("put_many", "get", "forget"), lambda _: None),
            },
        )
        self.catalogue_cache = UnsteadyCache(
            lambda: MemoryCatalogueCache(max_age=CATALOGUE_AGE, time=_virtual_time),
            self.faults,
            {"get": lambda page: (page, None), "begin_epoch": lambda: False},
        )
        self.stock_cache = UnsteadyCache(
            lambda: MemoryStockCache(max_age=CATALOGUE_AGE, time=_virtual_time),
            self.faults,
            {"get_many": lambda _: (None, {}), "put_committed": lambda _: False},
        )

    @property
    def resumes(self) -> bool:
        """Republish only if the broker can lose messages: otherwise that would hide a loss in our own code."""
        weather = self.faults.weather
        return weather.embedded or weather.broker_losses > 0 or weather.restored


@define(eq=False, slots=False)
class House:
    """The use cases and the programs of one process. It shares caches and broker where there are servers for them."""

    world: World
    process: Process
    recent_orders: Any = field(init=False)
    catalogue_cache: Any = field(init=False)
    stock_cache: Any = field(init=False)
    carts: MemoryCarts = field(init=False)
    signal: SimulatedSignal = field(init=False)
    # What ends with this process, as the broker sees it.
    _connections: list[QueueConnection | DeadLetterConnection] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        world, process, faults = self.world, self.process, self.world.faults
        recent, catalogue, signal = world.recent_orders, world.catalogue_cache, world.signal
        stock, self.carts = world.stock_cache, world.carts
        if faults.weather.embedded:
            recent, signal = world.parts.recent_orders(), MemoryOutboxSignal()
            catalogue = MemoryCatalogueCache(max_age=CATALOGUE_AGE, time=_virtual_time)
            stock, self.carts = MemoryStockCache(max_age=CATALOGUE_AGE, time=_virtual_time), MemoryCarts()
        self.recent_orders = SimulatedRecentOrders(faults, process, recent)
        self.catalogue_cache = SimulatedCatalogueCache(faults, process, catalogue)
        self.stock_cache = SimulatedStockCache(faults, process, stock)
        self.signal = SimulatedSignal(faults, process, signal)

    @cached_property
    def use_cases(self) -> UseCases:
        world, process, faults = self.world, self.process, self.world.faults
        chance, parts = faults.chance, world.parts
        published: IntakeQueue = SimulatedIntakeQueue(
            faults, process, PublishedIntake(world.broker, world.broker.intake_is_empty)
        )
        provider: PaymentProvider = OnceAtATime(SimulatedPayments(faults, process, world.provider), world.complain)
        calls = ProviderCalls(world.now)
        ports = Ports(
            unit_of_work=lambda after: parts.unit_of_work(SimulatedUnitOfWork(world.database, process, after), world),
            recent_orders=self.recent_orders,
            queued_here=MemoryRecentOrders(),
            accepted_changes=SharedAcceptedChanges(SimulatedAcceptedChanges(faults, process, world.accepted_changes)),
            catalogue_cache=self.catalogue_cache,
            stock_cache=self.stock_cache,
            carts=SimulatedCarts(faults, process, self.carts),
            # A cache that is gone is gone for all processes here.
            cache_fence=NoCacheFence(),
            price_list=SimulatedPriceList(faults, process, MemoryPriceList()),
            outbox_signal=self.signal,
            feed_signal=MemoryOutboxSignal(),
            publisher=SimulatedPublisher(faults, process, world.broker),
            intake_queue=parts.intake_queue(published, world),
            subscription=self._subscription,
            dead_letter_queue=self._dead_letter_queue,
            provider=parts.provider(provider, world),
            provider_ledger=world.provider,
            provider_calls=calls,
            # Nobody empties the shop here: all that is checked is that nothing is lost.
            reset_data=MemoryResetData(world.database.store),
            empty_queues=_nothing,
            forget_caches=_nothing,
            row_writers=WRITERS,
            row_parsers=PARSERS,
            webhook_transport=SimulatedWebhooks(
                faults, process, MemoryWebhookTransport(world.now, world.receivers.answer)
            ),
            webhook_messages=SignedMessages(),
            now=world.now,
            new_id=world.new_id,
            new_secret=CountedSecrets(),
            overview=MemoryOverview(world.database.store, [calls.report]),
            queues=MemoryBroker(),
            relay_name="up" if faults.weather.embedded else str(world.new_id()),
        )
        limits = Limits(
            intake=faults.weather.intake,
            batch_max=chance.choice((1, 2, 256)),
            batches_in_flight=chance.choice((1, 2)),
            consumer_batch_max=chance.choice((1, 3, 256)),
            relay_batch_max=chance.choice((2, 5, 512)),
            import_batch=chance.choice((1, 2, 250)),
            max_charges=chance.choice((1, 2, 128)),
            charge_timeout=_CHARGE_TIMEOUT,
            key_retention=_NEVER,
            # A customer comes again some time after a restore.
            order_expiry=_NEVER if faults.weather.restored else EXPIRY,
            expiry_look=LOOKS_FOR_OVERDUE,
        )
        return parts.assemble(ports, limits)

    async def run_api(self) -> None:
        async with AsyncExitStack() as stack:
            if self.world.faults.weather.intake != "direct":
                await stack.enter_async_context(
                    ready_for_outages(self.use_cases.refresh_prices, self.use_cases.shop_secret)
                )
            await self.process.stop.wait()
            await self.use_cases.drained()

    async def run_relay(self) -> None:
        await relay(self.use_cases, self.signal, self.process.stop)

    async def run_worker(self) -> None:
        worker = Worker(
            use_cases=self.use_cases,
            stuck_after=_STUCK_AFTER if self.world.resumes else _NEVER,
            batches=self.world.faults.chance.choice((1, 2)),
        )
        try:
            await worker.run(self.process.stop)
        finally:
            # The broker sees that the connection has ended, however the process did.
            for connection in self._connections:
                connection.lose()

    async def run_up(self) -> None:
        """All of it in one process, as `holdfast up` does."""
        await self.use_cases.republish_requests(idle=timedelta(0))
        async with asyncio.TaskGroup() as tasks:
            for program in (self.run_api, self.run_relay, self.run_worker):
                tasks.create_task(program())

    def _subscription(self, work: WorkQueue) -> Subscription:
        if self._is_idle(work):
            return MemoryBroker().queue(work)
        connection = QueueConnection(self.world.broker.queues[work.name], self.world.faults)
        self._connections.append(connection)
        subscription: Subscription = SimulatedDeliveries(self.world.faults, self.process, connection)
        return self.world.parts.subscription(subscription, self.world)

    def _dead_letter_queue(self, work: WorkQueue) -> DeadLetterQueue:
        if self._is_idle(work):
            return MemoryBroker().queue(work).dead_letters
        connection = DeadLetterConnection(self.world.broker.queues[work.name].dead_letters, self.world.faults)
        self._connections.append(connection)
        queue: DeadLetterQueue = SimulatedDeadLetterQueue(self.world.faults, self.process, connection)
        return queue

    def _is_idle(self, work: WorkQueue) -> bool:
        """Nothing is queued then, and to wait there would cost time."""
        return work is INTAKE and self.world.faults.weather.intake == "direct"


def _nobody_answers(_: object) -> NoReturn:
    raise Unavailable("simulated: the caches do not answer")


def _virtual_time() -> float:
    return asyncio.get_running_loop().time()
