import asyncio

import pytest

from application.errors import OutcomeUnknown, Unavailable
from application.execution.idempotency import Keyed, KeyReused, Replayed
from application.intake.place_order import NumberedRequest, OrderRequest
from application.intake.queue_orders import PriceUnknown, Queued
from application.orders.get_order import GetOrder
from application.ports.idempotency import IdempotencyKey
from domain.catalogue.product import Product
from domain.errors import CurrencyMismatch, InvalidOrder, UnknownOrder, UnknownProduct
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.unit.builders import NOW, a_product
from tests.unit.counter import Counter
from tests.unit.shop import EXPIRY, Shop, a_request
from tests.unit.unsteady import Trouble

GONE = Unavailable("the database is gone")


@pytest.fixture
def counter(shop: Shop) -> Counter:
    return Counter(shop)


async def sells(counter: Counter, *, currency: str = "EUR") -> Product:
    product = await counter.shop.sells(currency=currency)
    await counter.learn_prices()
    return product


def keyed(request: OrderRequest, key: str = "monday") -> Keyed[OrderRequest]:
    return Keyed(request, IdempotencyKey(f"customer {request.user_id}", key), repr(request))


def numbered(
    counter: Counter, *calls: OrderRequest | Keyed[OrderRequest]
) -> list[NumberedRequest | Keyed[NumberedRequest]]:
    return [counter.shop.number(call) for call in calls]


async def test_a_queued_order_is_what_it_would_be_in_the_books(counter: Counter) -> None:
    pen = await sells(counter)
    requests = numbered(counter, a_request((pen, 2), user_id=7))

    [queued] = await counter.queue_orders(requests)

    assert isinstance(queued, Queued)
    assert (queued.order.status, queued.order.version, queued.order.created_at) == (OrderStatus.PENDING, 1, NOW)
    assert [queued.order] == await counter.shop.place_numbered(requests)


async def test_it_is_found_at_once_and_is_in_no_book_yet(counter: Counter) -> None:
    pen = await sells(counter)
    [queued] = await counter.queue_orders(numbered(counter, a_request((pen, 2))))
    assert isinstance(queued, Queued)
    assert await counter.recent.get_many([queued.order.id]) == {queued.order.id: queued.order}
    assert counter.shop.store.orders == {}


async def test_what_must_be_refused_is_refused_alone_and_not_queued(counter: Counter) -> None:
    pen, yen_pen = await sells(counter), await sells(counter, currency="JPY")
    outcomes = await counter.queue_orders(
        numbered(
            counter,
            a_request((pen, 1)),
            a_request((pen, 0)),
            a_request((pen, 1), (yen_pen, 1)),
            a_request((pen, 1), (a_product(99), 1)),
            a_request((pen, 2)),
        )
    )
    assert [type(outcome) for outcome in outcomes] == [Queued, InvalidOrder, CurrencyMismatch, PriceUnknown, Queued]
    assert [event.lines[0].quantity for event in counter.queue.events] == [1, 2]


def breaks(counter: Counter, manner: str) -> None:
    counter.queue.gone = manner == "gone"
    counter.queue.silent = manner == "silent"
    counter.queue.confirms = 0


@pytest.mark.parametrize("manner", ["gone", "silent", "unconfirmed"])
async def test_what_is_safe_nowhere_nobody_is_told_of(shop: Shop, manner: str) -> None:
    counter = Counter(shop, timeout=0.05)
    pen = await sells(counter)
    breaks(counter, manner)
    shop.unsteady.gone = True
    requests = numbered(counter, keyed(a_request((pen, 1))), keyed(a_request((pen, 1))), a_request((pen, 1)))
    outcomes = await asyncio.gather(*map(counter.queue_or_record, requests), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OutcomeUnknown] * 3
    assert await counter.recent.get_many([event.order_id for event in counter.queue.events]) == {}
    assert counter.shop.store.orders == {}


@pytest.mark.parametrize("manner", ["gone", "silent", "unconfirmed"])
async def test_an_order_that_is_not_confirmed_is_recorded_at_once(shop: Shop, manner: str) -> None:
    counter = Counter(shop, timeout=0.05)
    pen = await sells(counter)
    breaks(counter, manner)
    order = await counter.queued.place_order(a_request((pen, 1)))
    assert isinstance(order, Order)
    assert await shop.now(order) == order
    # It may have come to the queue all the same.
    assert await counter.work_off() == ([] if manner == "gone" else [None])
    assert [*shop.store.orders] == [order.id]


async def test_what_is_confirmed_is_not_recorded_with_what_is_not(counter: Counter) -> None:
    pen = await sells(counter)
    counter.queue.confirms = 1
    requests = numbered(counter, a_request((pen, 1)), a_request((pen, 1)))
    queued, recorded = await asyncio.gather(*map(counter.queue_or_record, requests))
    assert isinstance(queued, Queued)
    assert isinstance(recorded, Order)
    assert [*counter.shop.store.orders] == [recorded.id]


async def test_an_order_that_is_not_confirmed_is_the_one_answer_under_its_key(counter: Counter) -> None:
    pen = await sells(counter)
    counter.queue.confirms = 0
    call = keyed(a_request((pen, 1)))
    first, other = numbered(counter, call), numbered(counter, keyed(a_request((pen, 2))))
    counter.shop.clock.forward(EXPIRY)
    calls = [*first, *numbered(counter, call), *other]
    order, beside, another = await asyncio.gather(*map(counter.queue_or_record, calls), return_exceptions=True)
    assert isinstance(order, Order)
    assert isinstance(another, KeyReused)
    # It has come there since the first look.
    await counter.recent.put_many([order])
    counter.recent.misses = 1
    [again] = [await counter.queue_or_record(call) for call in numbered(counter, call)]
    assert beside == again == await counter.direct.place_order(call) == Replayed(order)
    assert await counter.work_off() == [None, None]
    assert [*counter.shop.store.orders] == [order.id]


async def test_without_the_queue_a_refusal_stays_what_it_was(counter: Counter) -> None:
    """Nobody was promised an order, so that nothing overrules what the books say."""
    missing = keyed(a_request((a_product(1), 1)))
    with pytest.raises(UnknownProduct):
        await counter.direct.place_order(missing)
    pen = await sells(counter)
    assert pen.id == a_product(1).id
    counter.queue.gone = True
    again, another = numbered(counter, missing, keyed(a_request((pen, 2))))
    assert isinstance(await counter.queue_or_record(again), Replayed)
    with pytest.raises(KeyReused):
        await counter.queue_or_record(another)
    assert counter.shop.store.orders == {}


async def test_without_the_queue_who_asks_again_is_told_what_stands_in_the_books(counter: Counter) -> None:
    pen = await sells(counter)
    call = keyed(a_request((pen, 1)))
    counter.queue.gone = counter.recent.gone = True
    order = await counter.queued.place_order(call)
    assert isinstance(order, Order)
    counter.shop.clock.forward(EXPIRY)
    assert await counter.queued.place_order(call) == Replayed(order)


async def test_an_order_that_can_not_be_found_is_recorded_at_once(counter: Counter) -> None:
    pen = await sells(counter)
    counter.recent.gone = True
    [order] = await counter.queue_orders(numbered(counter, a_request((pen, 1))))
    assert isinstance(order, Order)
    assert await counter.shop.now(order) == order
    assert await counter.work_off() == [None]
    assert len(counter.shop.store.orders) == 1


async def test_it_is_accepted_though_it_can_be_neither_found_nor_recorded(counter: Counter) -> None:
    pen = await sells(counter)
    counter.recent.gone = True
    counter.shop.unsteady.to_come.append(Trouble(GONE))
    [queued] = await counter.queue_orders(numbered(counter, a_request((pen, 1))))
    assert isinstance(queued, Queued)
    assert await counter.work_off() == [None]
    assert await counter.shop.now(queued.order) == queued.order


async def test_it_is_found_by_whom_it_was_told_though_nobody_else_can_show_it(counter: Counter) -> None:
    pen = await sells(counter)
    find = GetOrder(counter.shop.unit_of_work, counter.recent, counter.unrecorded)
    [queued] = await counter.queue_orders(numbered(counter, a_request((pen, 1))))
    assert isinstance(queued, Queued)
    counter.recent.gone = True
    assert await find([queued.order.id]) == [queued.order]
    await counter.work_off()
    [cancelled] = await counter.shop.cancel_order([queued.order.id])
    assert await find([queued.order.id]) == [cancelled]
    await counter.shop.delete_order([queued.order.id])
    [gone] = await find([queued.order.id])
    assert isinstance(gone, UnknownOrder)


async def test_under_one_key_it_is_one_order_and_the_same_answer(counter: Counter) -> None:
    pen = await sells(counter)
    call = keyed(a_request((pen, 1)))
    [first, beside] = await counter.queue_orders(numbered(counter, call, call))
    [later] = await counter.queue_orders(numbered(counter, call))
    assert isinstance(first, Queued)
    assert (first.replayed, beside, later) == (False, Queued(first.order, replayed=True), beside)
    assert len(counter.queue.events) == 1


async def test_who_asks_again_is_told_the_first_answer_though_the_order_has_gone_on(counter: Counter) -> None:
    pen = await sells(counter)
    call = keyed(a_request((pen, 1)))
    [first] = await counter.queue_orders(numbered(counter, call))
    assert isinstance(first, Queued)
    await counter.work_off()
    await counter.shop.cancel_order([first.order.id])
    await counter.recent.put_many([await counter.shop.now(first.order)])
    [again] = await counter.queue_orders(numbered(counter, call))
    assert again == Queued(first.order, replayed=True)


@pytest.mark.parametrize("together", [False, True])
async def test_another_order_under_the_same_key_is_refused(counter: Counter, *, together: bool) -> None:
    pen = await sells(counter)
    calls = numbered(counter, keyed(a_request((pen, 1))), keyed(a_request((pen, 2))))
    if together:
        outcomes = [*await counter.queue_orders(calls)]
    else:
        outcomes = [(await counter.queue_orders([call]))[0] for call in calls]
    assert [type(outcome) for outcome in outcomes] == [Queued, KeyReused]
    assert [event.lines[0].quantity for event in counter.queue.events] == [1]


async def test_two_processes_that_accept_one_key_at_once_tell_of_one_order(counter: Counter) -> None:
    pen = await sells(counter)
    call = keyed(a_request((pen, 1)))
    [first] = await counter.queue_orders(numbered(counter, call))
    # The other one looked before the first had put it there.
    counter.recent.misses = 1
    counter.shop.clock.forward(EXPIRY)
    [second] = await counter.queue_orders(numbered(counter, call))
    assert second == first
    assert await counter.work_off() == [None, None]
    assert isinstance(first, Queued)
    assert await counter.shop.now(first.order) == first.order
