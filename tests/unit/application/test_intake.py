"""The three kinds of intake: where an order is stored, and that it is one order in all of them."""

import asyncio
from hashlib import sha256
from uuid import UUID

import pytest

from application.access.principal import SYSTEM
from application.errors import Aborted, OutcomeUnknown, Overloaded, Unavailable
from application.execution.batching import Batched
from application.execution.idempotency import Keyed, KeyInFlight, Replayed
from application.intake.order_intake import AutoIntake
from application.intake.order_request import OrderRequest
from application.intake.queue_orders import PriceUnknown, Queued
from application.ports.idempotency import IdempotencyKey
from domain.catalogue.product import Product
from domain.errors import InvalidOrder, UnknownProduct
from domain.orders.order import Order
from tests.unit.builders import a_product
from tests.unit.intakes import Intakes
from tests.unit.shop import Shop, a_request
from tests.unit.unsteady import Trouble

GONE = Unavailable("the database is gone")


@pytest.fixture
def intakes(shop: Shop) -> Intakes:
    return Intakes(shop)


@pytest.fixture
async def pen(shop: Shop, intakes: Intakes) -> Product:
    pen = await shop.sells()
    await intakes.learn_prices()
    return pen


def keyed(request: OrderRequest) -> Keyed[OrderRequest]:
    return Keyed(
        request, IdempotencyKey(f"customer {request.user_id}", "monday"), sha256(repr(request).encode()).hexdigest()
    )


def test_the_id_under_a_key_is_the_same_for_good() -> None:
    id_ = IdempotencyKey("customer 1", "monday").order_id
    assert id_ == UUID("b9f95aa4-3adc-81ec-b662-2eb27b694ebb")
    assert (id_.version, id_.variant) == (8, "specified in RFC 4122")
    others = {IdempotencyKey("customer 2", "monday"), IdempotencyKey("customer 1", "tuesday")}
    assert len({id_, *(key.order_id for key in others)}) == 3


async def test_directly_an_order_is_in_the_database_when_it_is_answered(intakes: Intakes, pen: Product) -> None:
    order = await intakes.direct.place_order(SYSTEM, a_request((pen, 1)))
    assert isinstance(order, Order)
    assert await intakes.shop.now(order) == order
    assert intakes.queue.events == []


async def test_directly_an_order_is_not_taken_without_the_database(intakes: Intakes, pen: Product) -> None:
    intakes.shop.unsteady.to_come.append(Trouble(GONE))
    with pytest.raises(Unavailable):
        await intakes.direct.place_order(SYSTEM, a_request((pen, 1)))
    assert intakes.queue.events == []


async def test_queued_an_order_is_with_the_broker_when_it_is_answered(intakes: Intakes, pen: Product) -> None:
    queued = await intakes.queued.place_order(SYSTEM, a_request((pen, 1)))
    assert isinstance(queued, Queued)
    assert [event.order_id for event in intakes.queue.events] == [queued.order.id]


async def test_queued_an_order_is_in_the_database_without_the_broker(intakes: Intakes, pen: Product) -> None:
    intakes.queue.gone = True
    order = await intakes.queued.place_order(SYSTEM, a_request((pen, 1)))
    assert isinstance(order, Order)
    assert await intakes.shop.now(order) == order


async def test_queued_the_database_is_asked_for_what_is_not_on_the_price_list(intakes: Intakes, pen: Product) -> None:
    new = await intakes.shop.sells()
    assert isinstance(await intakes.queued.place_order(SYSTEM, a_request((new, 1))), Order)
    with pytest.raises(UnknownProduct):
        await intakes.queued.place_order(SYSTEM, a_request((pen, 1), (a_product(99), 1)))


async def test_in_auto_the_database_comes_first(intakes: Intakes, pen: Product) -> None:
    assert isinstance(await intakes.auto.place_order(SYSTEM, a_request((pen, 1))), Order)
    assert intakes.queue.events == []


@pytest.mark.parametrize("error", [GONE, Aborted("the connection was lost"), Aborted("a deadlock")])
async def test_in_auto_an_order_is_queued_while_the_database_can_not_take_it(
    intakes: Intakes, pen: Product, error: Exception
) -> None:
    intakes.shop.unsteady.to_come += [Trouble(error)] * 3
    queued = await intakes.auto.place_order(SYSTEM, a_request((pen, 1)))
    assert isinstance(queued, Queued)
    intakes.shop.unsteady.to_come.clear()
    assert await intakes.work_off() == [None]
    assert await intakes.shop.now(queued.order) == queued.order


async def test_in_auto_an_order_is_queued_when_the_database_is_too_slow(shop: Shop, pen: Product) -> None:
    intakes = Intakes(shop, timeout=0.05)
    await intakes.learn_prices()
    async with shop.store.writing:
        queued = await intakes.auto.place_order(SYSTEM, a_request((pen, 1)))
        assert isinstance(queued, Queued)
    # It was on its way all the time.
    async with asyncio.timeout(60):
        await intakes.auto.drained()
    assert len(shop.store.orders) == 1
    assert await intakes.work_off() == [None]
    assert [*shop.store.orders] == [queued.order.id]


async def test_a_commit_that_was_not_answered_and_the_queue_make_one_order(intakes: Intakes, pen: Product) -> None:
    intakes.shop.unsteady.to_come.append(Trouble(GONE, committed=True))
    queued = await intakes.auto.place_order(SYSTEM, a_request((pen, 1)))
    assert isinstance(queued, Queued)
    assert await intakes.work_off() == [None]
    assert await intakes.shop.now(queued.order) == queued.order
    assert len(intakes.shop.store.orders) == 1


async def test_what_the_rules_refuse_is_not_queued(intakes: Intakes, pen: Product) -> None:
    with pytest.raises(InvalidOrder):
        await intakes.auto.place_order(SYSTEM, a_request((pen, 0)))
    with pytest.raises(UnknownProduct):
        await intakes.auto.place_order(SYSTEM, a_request((a_product(99), 1)))
    assert intakes.queue.events == []


async def nothing_known(_: object) -> None:
    return None


@pytest.mark.parametrize("error", [Overloaded("too much"), KeyInFlight("at work")])
async def test_what_is_no_fault_of_the_database_is_not_queued(intakes: Intakes, pen: Product, error: Exception) -> None:
    async def place(_: object) -> Order:
        raise error

    auto = AutoIntake(intakes.shop.number, nothing_known, place, Batched(intakes.queue_orders))
    with pytest.raises(type(error)):
        await auto(a_request((pen, 1)))
    assert intakes.queue.events == []


async def test_with_both_gone_no_order_is_promised(intakes: Intakes, pen: Product) -> None:
    intakes.queue.gone = intakes.shop.unsteady.gone = True
    # The message may still be with the broker.
    with pytest.raises(OutcomeUnknown):
        await intakes.auto.place_order(SYSTEM, a_request((pen, 1)))
    assert intakes.shop.store.orders == {}


@pytest.mark.parametrize("under_a_key", [False, True])
async def test_in_auto_a_slow_database_is_waited_for_without_the_broker(
    shop: Shop, pen: Product, *, under_a_key: bool
) -> None:
    intakes = Intakes(shop, timeout=0.05)
    await intakes.learn_prices()
    intakes.queue.gone = True
    request = a_request((pen, 1))
    async with shop.store.writing:
        asking = asyncio.create_task(intakes.auto.place_order(SYSTEM, keyed(request) if under_a_key else request))
        assert not (await asyncio.wait([asking], timeout=0.2))[0]
    async with asyncio.timeout(60):
        order = await asking
        await intakes.auto.drained()
    assert isinstance(order, Order)
    assert [*shop.store.orders] == [order.id]


async def test_whether_there_is_such_a_product_can_not_be_told_without_the_database(intakes: Intakes) -> None:
    intakes.shop.unsteady.to_come.append(Trouble(GONE))
    with pytest.raises(PriceUnknown):
        await intakes.auto.place_order(SYSTEM, a_request((a_product(99), 1)))
    assert intakes.queue.events == []


async def test_an_order_that_the_database_may_have_is_an_unknown_outcome(intakes: Intakes) -> None:
    async def place(_: object) -> Order:
        raise OutcomeUnknown("there was no answer to the commit")

    auto = AutoIntake(intakes.shop.number, nothing_known, place, Batched(intakes.queue_orders))
    with pytest.raises(OutcomeUnknown):
        await auto(a_request((a_product(99), 1)))
    assert intakes.queue.events == []


async def test_one_key_is_one_order_by_every_intake(intakes: Intakes, pen: Product) -> None:
    call = keyed(a_request((pen, 1)))
    queued = await intakes.queued.place_order(SYSTEM, call)
    placed = await intakes.direct.place_order(SYSTEM, call)
    queued_again = await intakes.queued.place_order(SYSTEM, call)
    await intakes.work_off()
    placed_again = await intakes.direct.place_order(SYSTEM, call)
    intakes.shop.unsteady.to_come.append(Trouble(GONE))
    in_auto = await intakes.auto.place_order(SYSTEM, call)
    assert isinstance(queued, Queued)
    assert placed == queued.order
    assert queued_again == in_auto == Queued(queued.order, replayed=True)
    assert placed_again == Replayed(queued.order)
    assert [*intakes.shop.store.orders] == [queued.order.id]
