from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from uuid import UUID

import pytest
from attrs import frozen

from adapters.memory.caches import MemoryRecentOrders
from application.execution.idempotency import Keyed
from application.intake.queue_orders import Queued
from application.intake.unrecorded import NotYetRecorded, TellUnrecorded, Unrecorded
from application.orders.get_history import GetHistory
from application.orders.get_order import GetOrder
from application.ports.idempotency import IdempotencyKey
from domain.errors import UnknownOrder
from domain.ids import OrderId
from domain.orders.order import Order
from tests.unit.counter import Counter
from tests.unit.shop import Shop, a_request

NOBODYS = OrderId(UUID(int=404))


@pytest.fixture
def counter(shop: Shop) -> Counter:
    return Counter(shop)


async def queue(counter: Counter) -> OrderId:
    pen = await counter.shop.sells()
    await counter.learn_prices()
    queued = await counter.queued.place_order(a_request((pen, 1)))
    assert isinstance(queued, Queued)
    return queued.order.id


@pytest.mark.parametrize("recent_gone", [False, True])
@pytest.mark.parametrize(
    "name", ["request_payment", "cancel_order", "complete_order", "request_refund", "delete_order"]
)
async def test_an_order_that_waits_for_its_record_is_not_unknown(
    counter: Counter, name: str, *, recent_gone: bool
) -> None:
    change: Callable[[Sequence[OrderId]], Awaitable[Sequence[object]]] = getattr(counter.shop, name)
    waiting = await queue(counter)
    counter.recent.gone = recent_gone
    outcomes = await TellUnrecorded(change, counter.unrecorded)([waiting, NOBODYS, waiting])
    assert [type(outcome) for outcome in outcomes] == [NotYetRecorded, UnknownOrder, NotYetRecorded]


async def test_it_is_changed_once_it_is_recorded_under_the_same_key(counter: Counter) -> None:
    waiting = await queue(counter)
    pay = TellUnrecorded(counter.shop.request_payment, counter.unrecorded)
    call = Keyed(waiting, IdempotencyKey(f"order {waiting}", "monday"), "pay")
    for _ in range(2):
        outcomes = await pay([call, call])
        assert [type(outcome) for outcome in outcomes] == [NotYetRecorded, NotYetRecorded]
    await counter.work_off()
    [paying] = await pay([call])
    assert isinstance(paying, Order)


@pytest.mark.parametrize("recent_gone", [False, True])
async def test_a_deleted_order_stays_unknown(counter: Counter, *, recent_gone: bool) -> None:
    waiting = await queue(counter)
    await counter.work_off()
    [deleted] = await counter.shop.delete_order([waiting])
    assert isinstance(deleted, Order)
    await counter.recent.put_many([deleted])
    counter.recent.gone = recent_gone
    [outcome] = await TellUnrecorded(counter.shop.cancel_order, counter.unrecorded)([waiting])
    assert isinstance(outcome, UnknownOrder)
    with pytest.raises(UnknownOrder):
        await GetHistory(counter.shop.unit_of_work, counter.recent, counter.unrecorded)(waiting)


@pytest.mark.parametrize("recent_gone", [False, True])
async def test_its_history_is_yet_to_come(counter: Counter, *, recent_gone: bool) -> None:
    waiting = await queue(counter)
    counter.recent.gone = recent_gone
    history = GetHistory(counter.shop.unit_of_work, counter.recent, counter.unrecorded)
    with pytest.raises(NotYetRecorded):
        await history(waiting)
    with pytest.raises(UnknownOrder):
        await history(NOBODYS)
    await counter.work_off()
    assert [event.sequence for event in await history(waiting)] == [1]


@frozen
class RecordedMeanwhile:
    """Whoever looks here comes too late: the order has just been recorded, and others have put it out."""

    _counter: Counter

    async def get_many(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        await self._counter.work_off()
        return {}

    async def put_many(self, orders: Sequence[Order]) -> None:
        """Nothing is kept."""

    async def invalidate_below(self, versions: Mapping[OrderId, int]) -> None:
        """There is nothing."""


async def test_an_order_that_is_recorded_between_two_looks_is_changed(counter: Counter) -> None:
    waiting = await queue(counter)
    unrecorded = Unrecorded(RecordedMeanwhile(counter), MemoryRecentOrders())
    [paying] = await TellUnrecorded(counter.shop.request_payment, unrecorded)([waiting])
    assert isinstance(paying, Order)


async def test_an_order_that_is_recorded_between_two_looks_is_read(counter: Counter) -> None:
    waiting = await queue(counter)
    recent = RecordedMeanwhile(counter)
    get_order = GetOrder(counter.shop.unit_of_work, MemoryRecentOrders(), Unrecorded(recent, MemoryRecentOrders()))
    [order] = await get_order([waiting])
    assert isinstance(order, Order)


async def test_the_history_of_an_order_that_is_recorded_between_two_looks_is_read(counter: Counter) -> None:
    waiting = await queue(counter)
    recent = RecordedMeanwhile(counter)
    history = await GetHistory(counter.shop.unit_of_work, recent, Unrecorded(recent, MemoryRecentOrders()))(waiting)
    assert [event.sequence for event in history] == [1]
