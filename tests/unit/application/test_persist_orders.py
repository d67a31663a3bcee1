from hashlib import sha256
from uuid import UUID

import pytest
from attrs import evolve

from application.errors import Aborted
from application.execution.idempotency import Keyed, KeyReused, Replayed
from application.intake.order_request import OrderRequest
from application.ports.idempotency import IdempotencyKey
from domain.errors import InvalidOrder, UnknownProduct
from domain.ids import OrderId, ProductId
from domain.money import Money
from domain.orders.events import OrderAccepted
from domain.orders.order import Order
from tests.unit.builders import a_product
from tests.unit.intakes import Intakes
from tests.unit.provider import Crash
from tests.unit.shop import Shop, a_request, accepted, types
from tests.unit.unsteady import Trouble


@pytest.fixture
def intakes(shop: Shop) -> Intakes:
    return Intakes(shop)


def keyed(request: OrderRequest, key: str = "monday") -> Keyed[OrderRequest]:
    return Keyed(
        request, IdempotencyKey(f"customer {request.user_id}", key), sha256(repr(request).encode()).hexdigest()
    )


async def queue(intakes: Intakes, *calls: OrderRequest | Keyed[OrderRequest]) -> list[OrderAccepted]:
    """Accept them in separate processes, and return the events that wait for the worker."""
    await intakes.learn_prices()
    for call in calls:
        await Intakes(intakes.shop, queue=intakes.queue, prices=intakes.prices).queue_orders(
            [intakes.shop.number(call)]
        )
    return intakes.queue.events


async def test_what_was_queued_is_recorded_like_any_order(shop: Shop, intakes: Intakes) -> None:
    pen = await shop.sells()
    [event] = await queue(intakes, keyed(a_request((pen, 2))))

    assert await intakes.work_off() == [None]

    order = shop.store.orders[event.order_id]
    assert types(await shop.history(order)) == types(await shop.outbox()) == ["placed"]
    assert await shop.place_order([keyed(a_request((pen, 2)))]) == [Replayed(order)]


async def test_what_is_brought_any_number_of_times_is_one_order(shop: Shop, intakes: Intakes) -> None:
    pen = await shop.sells()
    [event] = await queue(intakes, keyed(a_request((pen, 2))))
    assert await shop.persist_orders([event, event]) == [None, None]
    assert await shop.persist_orders([event]) == [None]
    assert types(await shop.outbox()) == ["placed"]


async def test_an_order_that_was_placed_directly_as_well_stays_as_it_is(shop: Shop, intakes: Intakes) -> None:
    pen = await shop.sells()
    call = keyed(a_request((pen, 2)))
    await queue(intakes, call)
    order = accepted((await shop.place_order([call]))[0])
    await shop.cancel_order([order.id])
    await shop.delete_order([order.id])
    before = await shop.now(order)
    assert await intakes.work_off() == [None]
    assert await shop.now(order) == before


async def test_an_order_whose_commit_was_not_answered_is_not_recorded_again(shop: Shop, intakes: Intakes) -> None:
    pen = await shop.sells()
    request = shop.number(a_request((pen, 2)))
    await intakes.learn_prices()
    shop.unsteady.to_come.append(Trouble(Crash(), committed=True))
    with pytest.raises(Crash):
        await shop.place_numbered([request])
    await intakes.queue_orders([request])
    assert await intakes.work_off() == [None]
    assert len(shop.store.orders) == 1


async def test_what_was_refused_before_is_recorded_once_it_was_accepted(shop: Shop, intakes: Intakes) -> None:
    unknown = keyed(a_request((a_product(2), 1)))
    await shop.sells()
    [refusal] = await shop.place_order([unknown])
    assert isinstance(refusal, UnknownProduct)
    await shop.sells()
    events = list(await queue(intakes, unknown))
    assert await shop.persist_orders(events) == [None]
    assert await shop.persist_orders(events) == [None]
    assert [*shop.store.orders] == [event.order_id for event in events]
    # The stored refusal stays, and is not the answer any more.
    [again] = await shop.place_order([unknown])
    assert again == Replayed(shop.store.orders[events[0].order_id])


@pytest.mark.parametrize("together", [False, True])
async def test_another_order_under_the_same_key_is_left_to_a_person(
    shop: Shop, intakes: Intakes, *, together: bool
) -> None:
    pen = await shop.sells()
    first, second = await queue(intakes, keyed(a_request((pen, 1))), keyed(a_request((pen, 2))))
    if together:
        outcomes = [*await shop.persist_orders([first, second])]
    else:
        outcomes = [(await shop.persist_orders([event]))[0] for event in (first, second)]
    assert outcomes[0] is None
    assert isinstance(outcomes[1], KeyReused)
    assert [order.lines[0].quantity for order in shop.store.orders.values()] == [1]


async def test_what_can_not_be_an_order_is_refused_alone(shop: Shop, intakes: Intakes) -> None:
    pen = await shop.sells()
    good, bad = await queue(intakes, a_request((pen, 1)), keyed(a_request((pen, 1))))
    bad = evolve(bad, total=Money(1, "EUR"))
    outcomes = await shop.persist_orders([bad, good])
    assert isinstance(outcomes[0], InvalidOrder)
    assert outcomes[1] is None
    assert [*shop.store.orders] == [good.order_id]
    assert shop.store.idempotency_keys == {}


@pytest.mark.parametrize("price", [0, 1, 1249, 1251])
async def test_an_order_at_a_price_that_its_product_does_not_have_is_refused_alone(
    shop: Shop, intakes: Intakes, price: int
) -> None:
    pen = await shop.sells(price=1250)
    good, forged = await queue(intakes, a_request((pen, 1)), keyed(a_request((pen, 2))))
    [line] = forged.lines
    forged = evolve(forged, lines=(evolve(line, unit_price=Money(price, "EUR")),), total=Money(2 * price, "EUR"))
    outcomes = await shop.persist_orders([forged, good])
    assert isinstance(outcomes[0], InvalidOrder)
    assert outcomes[1] is None
    assert [*shop.store.orders] == [good.order_id]
    assert shop.store.idempotency_keys == {}


async def test_an_order_of_a_product_that_does_not_exist_is_refused_alone(shop: Shop, intakes: Intakes) -> None:
    pen = await shop.sells()
    good, forged = await queue(intakes, a_request((pen, 1)), a_request((pen, 1)))
    forged = evolve(forged, lines=(evolve(forged.lines[0], product_id=ProductId(404)),))
    outcomes = await shop.persist_orders([forged, good])
    assert isinstance(outcomes[0], UnknownProduct)
    assert outcomes[1] is None
    assert [*shop.store.orders] == [good.order_id]


async def test_an_order_under_a_key_of_an_earlier_release_is_not_made_twice(shop: Shop, intakes: Intakes) -> None:
    pen = await shop.sells()
    call = keyed(a_request((pen, 1)))
    request = shop.number(call)
    assert isinstance(request, Keyed)
    # Ids were not made of keys then.
    earlier = evolve(request, call=evolve(request.call, order_id=OrderId(UUID(int=7))))
    [order] = await shop.place_numbered([earlier])
    assert isinstance(order, Order)
    [event] = await queue(intakes, call)
    assert event.order_id != order.id
    assert await intakes.work_off() == [None]
    assert [*shop.store.orders] == [order.id]


async def test_a_transaction_that_was_rolled_back_leaves_nothing(shop: Shop, intakes: Intakes) -> None:
    pen = await shop.sells()
    [event] = await queue(intakes, keyed(a_request((pen, 1))))
    shop.unsteady.to_come.append(Trouble(Aborted("deadlock")))
    with pytest.raises(Aborted):
        await shop.persist_orders([event])
    assert shop.store.orders == {}
    assert await shop.persist_orders([event]) == [None]
