import asyncio
from hashlib import sha256

import pytest
from attrs import evolve

from adapters.memory.cache_fence import NoCacheFence
from application.access.principal import SYSTEM
from application.errors import OutcomeUnknown, Unavailable
from application.execution.idempotency import Keyed, KeyReused, Replayed
from application.intake.order_request import NumberedRequest, OrderRequest
from application.intake.queue_orders import PriceUnknown, Queued
from application.orders.get_order import GetOrder
from application.ports.idempotency import IdempotencyKey
from domain.catalogue.product import Product
from domain.errors import CurrencyMismatch, InvalidOrder, UnknownOrder, UnknownProduct
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.unit.builders import NOW, a_product
from tests.unit.intakes import Intakes
from tests.unit.shop import EXPIRY, Shop, a_request, types
from tests.unit.unsteady import Trouble

GONE = Unavailable("the database is gone")


@pytest.fixture
def intakes(shop: Shop) -> Intakes:
    return Intakes(shop)


async def sells(intakes: Intakes, *, currency: str = "EUR") -> Product:
    product = await intakes.shop.sells(currency=currency)
    await intakes.learn_prices()
    return product


def keyed(request: OrderRequest, key: str = "monday") -> Keyed[OrderRequest]:
    return Keyed(
        request, IdempotencyKey(f"customer {request.user_id}", key), sha256(repr(request).encode()).hexdigest()
    )


def numbered(
    intakes: Intakes, *calls: OrderRequest | Keyed[OrderRequest]
) -> list[NumberedRequest | Keyed[NumberedRequest]]:
    return [intakes.shop.number(call) for call in calls]


async def test_a_queued_order_equals_a_placed_one(intakes: Intakes) -> None:
    pen = await sells(intakes)
    requests = numbered(intakes, a_request((pen, 2), user_id=7))

    [queued] = await intakes.queue_orders(requests)

    assert isinstance(queued, Queued)
    assert (queued.order.status, queued.order.version, queued.order.created_at) == (OrderStatus.PENDING, 1, NOW)
    assert [queued.order] == await intakes.shop.place_numbered(requests)


async def test_a_queued_order_to_pay_equals_a_placed_one_and_is_recorded_with_its_payment(intakes: Intakes) -> None:
    pen = await sells(intakes)
    requests = numbered(intakes, keyed(evolve(a_request((pen, 1), (pen, 1)), pay=True)))

    [queued] = await intakes.queue_orders(requests)
    [again] = await intakes.queue_orders(requests)

    assert isinstance(queued, Queued)
    assert (queued.order.status, queued.order.version) == (OrderStatus.PROCESSING, 2)
    assert again == Queued(queued.order, replayed=True)
    assert await intakes.work_off() == [None]
    assert await intakes.shop.now(queued.order) == queued.order
    assert types(await intakes.shop.history(queued.order)) == ["placed", "payment_requested"]
    assert types(await intakes.shop.outbox()) == ["placed", "payment_requested"]


@pytest.mark.parametrize("pay", [False, True])
async def test_the_same_order_to_pay_and_not_to_pay_are_two_requests(intakes: Intakes, *, pay: bool) -> None:
    pen = await sells(intakes)
    first, other = evolve(a_request((pen, 1)), pay=pay), evolve(a_request((pen, 1)), pay=not pay)
    [_, refused] = [(await intakes.queue_orders(numbered(intakes, keyed(each))))[0] for each in (first, other)]
    assert isinstance(refused, KeyReused)


async def test_a_queued_order_is_found_at_once_and_is_not_in_the_database(intakes: Intakes) -> None:
    pen = await sells(intakes)
    [queued] = await intakes.queue_orders(numbered(intakes, a_request((pen, 2))))
    assert isinstance(queued, Queued)
    assert await intakes.recent.get_many([queued.order.id]) == {queued.order.id: queued.order}
    assert intakes.shop.store.orders == {}


async def test_what_must_be_refused_is_refused_alone_and_not_queued(intakes: Intakes) -> None:
    pen, yen_pen = await sells(intakes), await sells(intakes, currency="JPY")
    outcomes = await intakes.queue_orders(
        numbered(
            intakes,
            a_request((pen, 1)),
            a_request((pen, 0)),
            a_request((pen, 1), (yen_pen, 1)),
            a_request((pen, 1), (a_product(99), 1)),
            a_request((pen, 2)),
        )
    )
    assert [type(outcome) for outcome in outcomes] == [Queued, InvalidOrder, CurrencyMismatch, PriceUnknown, Queued]
    assert [event.lines[0].quantity for event in intakes.queue.events] == [1, 2]


def breaks(intakes: Intakes, manner: str) -> None:
    intakes.queue.gone = manner == "gone"
    intakes.queue.silent = manner == "silent"
    intakes.queue.confirms = 0


@pytest.mark.parametrize("manner", ["gone", "silent", "unconfirmed"])
async def test_an_order_that_is_safe_nowhere_is_not_promised(shop: Shop, manner: str) -> None:
    intakes = Intakes(shop, timeout=0.05)
    pen = await sells(intakes)
    breaks(intakes, manner)
    shop.unsteady.gone = True
    requests = numbered(intakes, keyed(a_request((pen, 1))), keyed(a_request((pen, 1))), a_request((pen, 1)))
    outcomes = await asyncio.gather(*map(intakes.queue_or_record, requests), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown] * 3
    assert await intakes.recent.get_many([event.order_id for event in intakes.queue.events]) == {}
    assert intakes.shop.store.orders == {}


@pytest.mark.parametrize("manner", ["gone", "silent", "unconfirmed"])
async def test_an_order_that_is_not_confirmed_is_recorded_at_once(shop: Shop, manner: str) -> None:
    intakes = Intakes(shop, timeout=0.05)
    pen = await sells(intakes)
    breaks(intakes, manner)
    order = await intakes.queued.place_order(SYSTEM, a_request((pen, 1)))
    assert isinstance(order, Order)
    assert await shop.now(order) == order
    # It may have come to the queue all the same.
    assert await intakes.work_off() == ([] if manner == "gone" else [None])
    assert [*shop.store.orders] == [order.id]


async def test_what_is_confirmed_is_not_recorded_with_what_is_not(intakes: Intakes) -> None:
    pen = await sells(intakes)
    intakes.queue.confirms = 1
    requests = numbered(intakes, a_request((pen, 1)), a_request((pen, 1)))
    queued, recorded = await asyncio.gather(*map(intakes.queue_or_record, requests))
    assert isinstance(queued, Queued)
    assert isinstance(recorded, Order)
    assert [*intakes.shop.store.orders] == [recorded.id]


async def test_an_order_that_is_not_confirmed_is_the_one_answer_under_its_key(intakes: Intakes) -> None:
    pen = await sells(intakes)
    intakes.queue.confirms = 0
    call = keyed(a_request((pen, 1)))
    first, other = numbered(intakes, call), numbered(intakes, keyed(a_request((pen, 2))))
    intakes.shop.clock.forward(EXPIRY)
    calls = [*first, *numbered(intakes, call), *other]
    order, beside, another = await asyncio.gather(*map(intakes.queue_or_record, calls), return_exceptions=True)
    assert isinstance(order, Order)
    assert isinstance(another, KeyReused)
    # It has come there since the first look.
    await intakes.recent.put_many([order])
    intakes.recent.misses = 1
    [again] = [await intakes.queue_or_record(call) for call in numbered(intakes, call)]
    assert beside == again == await intakes.direct.place_order(SYSTEM, call) == Replayed(order)
    assert await intakes.work_off() == [None, None]
    assert [*intakes.shop.store.orders] == [order.id]


async def test_without_the_queue_a_refusal_stays_what_it_was(intakes: Intakes) -> None:
    """No client was promised an order, so the stored response in the database counts."""
    missing = keyed(a_request((a_product(1), 1)))
    with pytest.raises(UnknownProduct):
        await intakes.direct.place_order(SYSTEM, missing)
    pen = await sells(intakes)
    assert pen.id == a_product(1).id
    intakes.queue.gone = True
    again, another = numbered(intakes, missing, keyed(a_request((pen, 2))))
    assert isinstance(await intakes.queue_or_record(again), Replayed)
    with pytest.raises(KeyReused):
        await intakes.queue_or_record(another)
    assert intakes.shop.store.orders == {}


async def test_without_the_queue_a_repeated_request_gets_the_response_in_the_database(intakes: Intakes) -> None:
    pen = await sells(intakes)
    call = keyed(a_request((pen, 1)))
    intakes.queue.gone = intakes.recent.gone = True
    order = await intakes.queued.place_order(SYSTEM, call)
    assert isinstance(order, Order)
    intakes.shop.clock.forward(EXPIRY)
    assert await intakes.queued.place_order(SYSTEM, call) == Replayed(order)


async def test_an_order_that_can_not_be_found_is_recorded_at_once(intakes: Intakes) -> None:
    pen = await sells(intakes)
    intakes.recent.gone = True
    [order] = await intakes.queue_orders(numbered(intakes, a_request((pen, 1))))
    assert isinstance(order, Order)
    assert await intakes.shop.now(order) == order
    assert await intakes.work_off() == [None]
    assert len(intakes.shop.store.orders) == 1


async def test_it_is_accepted_though_it_can_be_neither_found_nor_recorded(intakes: Intakes) -> None:
    pen = await sells(intakes)
    intakes.recent.gone = True
    intakes.shop.unsteady.to_come.append(Trouble(GONE))
    [queued] = await intakes.queue_orders(numbered(intakes, a_request((pen, 1))))
    assert isinstance(queued, Queued)
    assert await intakes.work_off() == [None]
    assert await intakes.shop.now(queued.order) == queued.order


async def test_a_queued_order_is_found_here_while_the_shared_cache_is_gone(intakes: Intakes) -> None:
    pen = await sells(intakes)
    find = GetOrder(intakes.shop.unit_of_work, intakes.recent, intakes.unrecorded, NoCacheFence())
    [queued] = await intakes.queue_orders(numbered(intakes, a_request((pen, 1))))
    assert isinstance(queued, Queued)
    intakes.recent.gone = True
    assert await find([queued.order.id]) == [queued.order]
    await intakes.work_off()
    [cancelled] = await intakes.shop.cancel_order([queued.order.id])
    assert await find([queued.order.id]) == [cancelled]
    await intakes.shop.delete_order([queued.order.id])
    [gone] = await find([queued.order.id])
    assert isinstance(gone, UnknownOrder)


async def test_under_one_key_it_is_one_order_and_the_same_answer(intakes: Intakes) -> None:
    pen = await sells(intakes)
    call = keyed(a_request((pen, 1)))
    [first, beside] = await intakes.queue_orders(numbered(intakes, call, call))
    [later] = await intakes.queue_orders(numbered(intakes, call))
    assert isinstance(first, Queued)
    assert (first.replayed, beside, later) == (False, Queued(first.order, replayed=True), beside)
    assert len(intakes.queue.events) == 1


async def test_a_repeated_request_gets_the_first_answer_even_after_the_order_changed(intakes: Intakes) -> None:
    pen = await sells(intakes)
    call = keyed(a_request((pen, 1)))
    [first] = await intakes.queue_orders(numbered(intakes, call))
    assert isinstance(first, Queued)
    await intakes.work_off()
    await intakes.shop.cancel_order([first.order.id])
    await intakes.recent.put_many([await intakes.shop.now(first.order)])
    [again] = await intakes.queue_orders(numbered(intakes, call))
    assert again == Queued(first.order, replayed=True)


@pytest.mark.parametrize("together", [False, True])
async def test_another_order_under_the_same_key_is_refused(intakes: Intakes, *, together: bool) -> None:
    pen = await sells(intakes)
    calls = numbered(intakes, keyed(a_request((pen, 1))), keyed(a_request((pen, 2))))
    if together:
        outcomes = [*await intakes.queue_orders(calls)]
    else:
        outcomes = [(await intakes.queue_orders([call]))[0] for call in calls]
    assert [type(outcome) for outcome in outcomes] == [Queued, KeyReused]
    assert [event.lines[0].quantity for event in intakes.queue.events] == [1]


async def test_two_processes_that_accept_one_key_at_once_return_one_order(intakes: Intakes) -> None:
    pen = await sells(intakes)
    call = keyed(a_request((pen, 1)))
    [first] = await intakes.queue_orders(numbered(intakes, call))
    # The second process read before the first had put it there.
    intakes.recent.misses = 1
    intakes.shop.clock.forward(EXPIRY)
    [second] = await intakes.queue_orders(numbered(intakes, call))
    assert second == first
    assert await intakes.work_off() == [None, None]
    assert isinstance(first, Queued)
    assert await intakes.shop.now(first.order) == first.order
