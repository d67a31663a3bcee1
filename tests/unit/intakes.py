"""The three kinds of intake in memory, with a broker and recent orders that a test controls."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from attrs import define, evolve, field

from adapters.codecs.events import decode, encode
from adapters.memory.caches import MemoryRecentOrders
from adapters.memory.price_list import MemoryPriceList
from application.assembly import assemble
from application.assembly.limits import Limits
from application.assembly.use_cases import UseCases
from application.errors import Unavailable
from application.execution.batching import Batched
from application.execution.circuit_breaker import CircuitBreaker
from application.execution.retry_conflicts import Retrying
from application.intake.queue_orders import QueueOrders, QueueOrRecord
from application.intake.refresh_prices import RefreshPrices
from application.intake.unrecorded import Unrecorded
from application.orders.record_changes import RecordAccepted, RecordChanges
from application.ports.caching import RecentOrders
from domain.ids import JobId, OrderId
from domain.orders.events import OrderAccepted, OrderChangeAccepted
from domain.orders.order import Order
from tests.unit.shop import EXPIRY, Shop

E = TypeVar("E", OrderAccepted, OrderChangeAccepted)


@define(eq=False)
class UnsteadyQueue:
    """The broker's queue. It may be gone or silent, and may keep events that it does not confirm."""

    events: list[OrderAccepted | OrderChangeAccepted] = field(factory=list)
    gone: bool = False
    silent: bool = False
    # The number of events of one call that are confirmed.
    confirms: int = 1000

    async def put_many(self, accepted: Sequence[OrderAccepted]) -> set[OrderId]:
        return {event.order_id for event in await self._put(accepted)}

    async def put_changes(self, accepted: Sequence[OrderChangeAccepted]) -> set[JobId]:
        return {event.job_id for event in await self._put(accepted)}

    async def _put(self, accepted: Sequence[E]) -> Sequence[E]:
        if self.gone:
            raise Unavailable("the broker is gone")
        for event in accepted:
            travelled = decode(encode(event))
            assert isinstance(travelled, type(event))
            self.events.append(travelled)
        if self.silent:
            await asyncio.Event().wait()
        return accepted[: self.confirms]

    async def is_empty(self) -> bool:
        if self.gone:
            raise Unavailable("the broker is gone")
        return not self.events


@define(eq=False)
class UnsteadyRecentOrders:
    """Recent orders on a server that may be gone."""

    _inner: RecentOrders = field(factory=MemoryRecentOrders)
    gone: bool = False
    # The number of next reads that find nothing.
    misses: int = 0

    async def get_many(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        if self.gone or self.misses:
            self.misses = max(0, self.misses - 1)
            return {}
        return await self._inner.get_many(ids)

    async def put_many(self, orders: Sequence[Order]) -> bool:
        return not self.gone and await self._inner.put_many(orders)

    async def put_accepted(self, orders: Sequence[Order]) -> None:
        if not self.gone:
            await self._inner.put_accepted(orders)

    async def get_accepted(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        if self.gone:
            raise Unavailable("the recent orders are gone")
        return await self._inner.get_accepted(ids)

    async def scan(self, cursor: int) -> tuple[int, list[Order]]:
        if self.gone:
            raise Unavailable("the recent orders are gone")
        return await self._inner.scan(cursor)

    async def invalidate_below(self, versions: Mapping[OrderId, int]) -> bool:
        return await self._inner.invalidate_below(versions)


async def _nothing(_: Collection[OrderId]) -> Collection[OrderId]:
    """As in `auto`, where the database has been asked before."""
    return ()


@define(eq=False)
class Intakes:
    """The three kinds of intake of one shop.

    `timeout` is the timeout of the broker, and in `auto` of the database, in seconds. After a timeout the circuit
    breaker lets the next call through at once. The last attempt to store an order has a long timeout.
    """

    shop: Shop = field(factory=Shop)
    timeout: float = 30.0
    queue: UnsteadyQueue = field(factory=UnsteadyQueue)
    recent: UnsteadyRecentOrders = field(factory=UnsteadyRecentOrders)
    own: MemoryRecentOrders = field(factory=MemoryRecentOrders)
    prices: MemoryPriceList = field(factory=MemoryPriceList)
    unrecorded: Unrecorded = field(init=False)
    queue_orders: QueueOrders = field(init=False)
    queue_or_record: QueueOrRecord = field(init=False)
    direct: UseCases = field(init=False)
    queued: UseCases = field(init=False)
    auto: UseCases = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.direct, self.queued, self.auto = map(self._assembled, ("direct", "queued", "auto"))
        # The parts of the queued intake, for tests of one part alone.
        self.unrecorded = Unrecorded(self.recent, self.own)
        place, record = Batched(self.shop.place_numbered), Batched(self.shop.persist_orders)
        put = CircuitBreaker(self.queue.put_many, seconds=self.timeout, pause=0)
        self.queue_orders = QueueOrders(self.prices, put, self.recent, self.own, record, _nothing)
        last = Retrying(place, pause=0.01), Retrying(record, pause=0.01)
        self.queue_or_record = QueueOrRecord(Batched(self.queue_orders), *last)

    def _assembled(self, intake: Any) -> UseCases:
        ports = evolve(
            self.shop.ports,
            recent_orders=self.recent,
            queued_here=self.own,
            price_list=self.prices,
            intake_queue=self.queue,
        )
        limits = Limits(
            intake=intake,
            database_timeout=self.timeout,
            broker_timeout=self.timeout,
            last_resort_timeout=30.0,
            breaker_pause=0.0,
            order_expiry=EXPIRY,
        )
        return assemble(ports, limits)

    async def learn_prices(self) -> None:
        """And whatever else has to be known before the database is gone."""
        await RefreshPrices(self.shop.unit_of_work, self.prices)()
        for use_cases in (self.queued, self.auto):
            await use_cases.shop_secret.learn()

    async def work_off(self) -> Sequence[Exception | None]:
        """Process the waiting events, as the worker does."""
        events, self.queue.events = self.queue.events, []
        uow = self.shop.unsteady
        return await RecordAccepted(self.shop.persist_orders, RecordChanges(uow))(events)
