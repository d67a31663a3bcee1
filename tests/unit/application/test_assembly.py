import asyncio

import pytest
from attrs import evolve

from application.access.principal import SYSTEM
from application.assembly import assemble
from application.assembly.limits import Limits
from application.messaging.subscriptions import WORK_QUEUES
from application.operations.try_dead_letter import HANDLERS
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.unit.shop import Shop, a_request


def test_each_work_queue_has_a_consumer_and_its_dead_letters_are_recorded(shop: Shop) -> None:
    assert [consumer.work for consumer in shop.use_cases.consumers] == [*WORK_QUEUES]
    assert len(shop.use_cases.record_dead_letters) == len(WORK_QUEUES)
    assert HANDLERS.keys() == {work.name for work in WORK_QUEUES}


async def test_an_order_is_placed_paid_for_and_read(shop: Shop) -> None:
    pen = await shop.sells()
    order = await shop.use_cases.place_order(SYSTEM, a_request((pen, 2)))
    assert isinstance(order, Order)
    await shop.use_cases.request_payment(SYSTEM, order.id)
    while await shop.use_cases.relay_events():
        pass
    [payments] = [consumer for consumer in shop.use_cases.consumers if consumer.work.name == "payments"]
    async with asyncio.timeout(30):
        assert (await payments.step()).done == 1
    assert (await shop.use_cases.get_order(SYSTEM, order.id)).status is OrderStatus.PAID


@pytest.mark.parametrize("name", ["place_order", "cancel_order", "get_order", "request_payment"])
async def test_drained_waits_for_calls_of_cancelled_clients(shop: Shop, name: str) -> None:
    pen = await shop.sells()
    order = await shop.order((pen, 1))
    asked, may_answer = asyncio.Event(), asyncio.Event()

    class Slow:
        def __init__(self, inner: object) -> None:
            self._inner = inner

        def __call__(self) -> object:
            return self._block(self._inner())  # type: ignore[operator]

        def reading(self) -> object:
            return self._block(self._inner.reading())  # type: ignore[attr-defined]

        def _block(self, block: object) -> object:
            return _Slowly(block, asked, may_answer)

    ports = evolve(shop.ports, unit_of_work=lambda _: Slow(shop.unit_of_work), recent_orders=_Nothing())
    use_cases = assemble(ports, Limits())
    call = a_request((pen, 1)) if name == "place_order" else order.id
    calling = asyncio.ensure_future(getattr(use_cases, name)(SYSTEM, call))
    async with asyncio.timeout(30):
        await asked.wait()
        calling.cancel()
        drained = asyncio.ensure_future(use_cases.drained())
        await asyncio.sleep(0)
        assert not drained.done()
        may_answer.set()
        await drained


class _Nothing:
    """Recent orders that are gone, so that the database is asked."""

    async def get_many(self, _: object) -> dict[object, object]:
        return {}

    async def put_many(self, _: object) -> bool:
        return False

    async def invalidate_below(self, _: object) -> bool:
        return False


class _Slowly:
    """A block that begins when it may."""

    def __init__(self, block: object, asked: asyncio.Event, may_begin: asyncio.Event) -> None:
        self._block, self._asked, self._may_begin = block, asked, may_begin

    async def __aenter__(self) -> object:
        self._asked.set()
        await self._may_begin.wait()
        return await self._block.__aenter__()  # type: ignore[attr-defined]

    async def __aexit__(self, *error: object) -> object:
        return await self._block.__aexit__(*error)  # type: ignore[attr-defined]
