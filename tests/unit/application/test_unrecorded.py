from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from uuid import UUID

import pytest
from attrs import frozen

from adapters.memory.cache_fence import NoCacheFence
from adapters.memory.caches import MemoryRecentOrders
from application.access.principal import SYSTEM
from application.assembly.use_cases import UseCases
from application.errors import Aborted, Unavailable
from application.execution.idempotency import Keyed
from application.intake.queue_orders import Queued
from application.intake.unrecorded import NotYetRecorded, TellUnrecorded, Unrecorded
from application.orders.change_details import DetailsChange
from application.orders.get_history import GetHistory
from application.orders.get_order import GetOrder
from application.ports.idempotency import IdempotencyKey
from domain.errors import UnknownOrder
from domain.ids import JobId, OrderId
from domain.jobs.job import UnknownJob
from domain.orders.order import Order
from tests.unit.intakes import Intakes
from tests.unit.shop import Shop, a_request
from tests.unit.unsteady import Trouble

UNKNOWN_ORDER = OrderId(UUID(int=404))


@pytest.fixture
def intakes(shop: Shop) -> Intakes:
    return Intakes(shop)


async def queue(intakes: Intakes) -> OrderId:
    pen = await intakes.shop.sells()
    await intakes.learn_prices()
    queued = await intakes.queued.place_order(SYSTEM, a_request((pen, 1)))
    assert isinstance(queued, Queued)
    return queued.order.id


@pytest.mark.parametrize("recent_gone", [False, True])
@pytest.mark.parametrize(
    "name", ["request_payment", "cancel_order", "complete_order", "request_refund", "delete_order"]
)
async def test_an_order_that_waits_for_its_record_is_not_unknown(
    intakes: Intakes, name: str, *, recent_gone: bool
) -> None:
    change: Callable[[Sequence[OrderId]], Awaitable[Sequence[object]]] = getattr(intakes.shop, name)
    waiting = await queue(intakes)
    intakes.recent.gone = recent_gone
    outcomes = await TellUnrecorded(change, intakes.unrecorded)([waiting, UNKNOWN_ORDER, waiting])
    # Another process may have queued the other order, and nobody answers that question.
    other = Unavailable if recent_gone else UnknownOrder
    assert [type(outcome) for outcome in outcomes] == [NotYetRecorded, other, NotYetRecorded]


@pytest.mark.parametrize(
    "ask",
    [
        lambda shop: shop.get_order(SYSTEM, UNKNOWN_ORDER),
        lambda shop: shop.expand_order(SYSTEM, UNKNOWN_ORDER),
        lambda shop: shop.get_history(SYSTEM, UNKNOWN_ORDER),
        lambda shop: shop.explain_order(SYSTEM, UNKNOWN_ORDER),
        lambda shop: shop.get_job(SYSTEM, JobId(UNKNOWN_ORDER)),
        lambda shop: shop.request_payment(SYSTEM, UNKNOWN_ORDER),
        lambda shop: shop.cancel_order(SYSTEM, UNKNOWN_ORDER),
        lambda shop: shop.delete_order(SYSTEM, UNKNOWN_ORDER),
        lambda shop: shop.change_details(SYSTEM, DetailsChange(UNKNOWN_ORDER, changes={})),
        lambda shop: shop.republish_request(SYSTEM, UNKNOWN_ORDER),
    ],
)
@pytest.mark.parametrize("intake", ["direct", "queued", "auto"])
async def test_no_order_is_called_unknown_while_another_process_may_have_queued_it(
    intakes: Intakes, intake: str, ask: Callable[[UseCases], Awaitable[object]]
) -> None:
    intakes.recent.gone = True
    with pytest.raises((UnknownOrder, UnknownJob) if intake == "direct" else Unavailable):
        await ask(getattr(intakes, intake))


async def test_orders_that_are_known_are_read_beside_one_that_may_have_been_accepted(intakes: Intakes) -> None:
    order = await intakes.shop.order((await intakes.shop.sells(), 1))
    intakes.recent.gone = True
    get_order = GetOrder(intakes.shop.unit_of_work, intakes.recent, intakes.unrecorded, NoCacheFence())
    found, other = await get_order([order.id, UNKNOWN_ORDER])
    assert found == order
    assert isinstance(other, Unavailable)


async def test_its_request_can_t_be_sent_again_before_it_is_recorded(intakes: Intakes) -> None:
    waiting = await queue(intakes)
    with pytest.raises(NotYetRecorded):
        await intakes.queued.republish_request(SYSTEM, waiting)
    with pytest.raises(UnknownOrder):
        await intakes.queued.republish_request(SYSTEM, UNKNOWN_ORDER)


async def test_after_a_failover_it_is_not_unknown_either(intakes: Intakes) -> None:
    """Then the caches may be those of another database, and no entry of them is read."""
    waiting = await queue(intakes)
    intakes.recent.misses = 1
    unrecorded = Unrecorded(intakes.recent, MemoryRecentOrders())
    [outcome] = await TellUnrecorded(intakes.shop.request_payment, unrecorded)([waiting])
    assert isinstance(outcome, NotYetRecorded)


async def test_it_is_changed_once_it_is_recorded_under_the_same_key(intakes: Intakes) -> None:
    waiting = await queue(intakes)
    pay = TellUnrecorded(intakes.shop.request_payment, intakes.unrecorded)
    call = Keyed(waiting, IdempotencyKey(f"order {waiting}", "monday"), "pay")
    for _ in range(2):
        outcomes = await pay([call, call])
        assert [type(outcome) for outcome in outcomes] == [NotYetRecorded, NotYetRecorded]
    await intakes.work_off()
    [paying] = await pay([call])
    assert isinstance(paying, Order)


@pytest.mark.parametrize("error", [Unavailable("no connection"), Aborted("deadlock"), RuntimeError("a mistake")])
async def test_what_is_done_stays_done_when_the_second_look_for_others_fails(
    intakes: Intakes, error: Exception
) -> None:
    shop = intakes.shop
    order = await shop.order((await shop.sells(), 1))
    shop.unsteady.to_come.extend([None, Trouble(error)])
    cancelled, other = await TellUnrecorded(shop.cancel_order, intakes.unrecorded)([order.id, UNKNOWN_ORDER])
    assert (cancelled, other) == (await shop.now(order), error)


@pytest.mark.parametrize("recent_gone", [False, True])
async def test_a_deleted_order_stays_unknown(intakes: Intakes, *, recent_gone: bool) -> None:
    waiting = await queue(intakes)
    await intakes.work_off()
    [deleted] = await intakes.shop.delete_order([waiting])
    assert isinstance(deleted, Order)
    await intakes.recent.put_many([deleted])
    intakes.recent.gone = recent_gone
    [outcome] = await TellUnrecorded(intakes.shop.cancel_order, intakes.unrecorded)([waiting])
    assert isinstance(outcome, UnknownOrder)
    with pytest.raises(UnknownOrder):
        await GetHistory(intakes.shop.unit_of_work, intakes.recent, intakes.unrecorded)(waiting)


@pytest.mark.parametrize("recent_gone", [False, True])
async def test_its_history_is_yet_to_come(intakes: Intakes, *, recent_gone: bool) -> None:
    waiting = await queue(intakes)
    intakes.recent.gone = recent_gone
    history = GetHistory(intakes.shop.unit_of_work, intakes.recent, intakes.unrecorded)
    with pytest.raises(NotYetRecorded):
        await history(waiting)
    with pytest.raises(Unavailable if recent_gone else UnknownOrder):
        await history(UNKNOWN_ORDER)
    await intakes.work_off()
    assert [event.sequence for event in await history(waiting)] == [1]


@frozen
class RecordedMeanwhile:
    """A cache that has just lost an order, which was recorded at the same moment."""

    _intakes: Intakes

    async def get_accepted(self, _: Collection[OrderId]) -> dict[OrderId, Order]:
        return {}

    async def get_many(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        await self._intakes.work_off()
        return {}

    async def put_many(self, orders: Sequence[Order]) -> bool:
        """Nothing is kept."""
        return True

    async def invalidate_below(self, versions: Mapping[OrderId, int]) -> bool:
        """There is nothing."""
        return True


async def test_an_order_that_is_recorded_between_two_looks_is_changed(intakes: Intakes) -> None:
    waiting = await queue(intakes)
    unrecorded = Unrecorded(RecordedMeanwhile(intakes), MemoryRecentOrders())
    [paying] = await TellUnrecorded(intakes.shop.request_payment, unrecorded)([waiting])
    assert isinstance(paying, Order)


async def test_an_order_that_is_recorded_between_two_looks_is_read(intakes: Intakes) -> None:
    waiting = await queue(intakes)
    recent = RecordedMeanwhile(intakes)
    unrecorded = Unrecorded(recent, MemoryRecentOrders())
    get_order = GetOrder(intakes.shop.unit_of_work, MemoryRecentOrders(), unrecorded, NoCacheFence())
    [order] = await get_order([waiting])
    assert isinstance(order, Order)


async def test_the_history_of_an_order_that_is_recorded_between_two_looks_is_read(intakes: Intakes) -> None:
    waiting = await queue(intakes)
    recent = RecordedMeanwhile(intakes)
    history = await GetHistory(intakes.shop.unit_of_work, recent, Unrecorded(recent, MemoryRecentOrders()))(waiting)
    assert [event.sequence for event in history] == [1]
