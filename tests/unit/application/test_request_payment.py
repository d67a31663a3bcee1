from copy import deepcopy
from uuid import UUID

import pytest

from domain.errors import IllegalTransition, OrderDeleted, UnknownOrder
from domain.ids import OrderId, payment_after
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from domain.payments.payment import PaymentStatus
from tests.unit.builders import PAYMENT
from tests.unit.shop import EXPIRY, Shop, accepted, types

UNKNOWN_ORDER = OrderId(UUID(int=404))


async def test_a_payment_of_the_whole_total_is_requested(shop: Shop) -> None:
    pen = await shop.sells(price=1250)
    order, request = await shop.payment_requested((pen, 2))

    assert (await shop.now(order)).status is OrderStatus.PROCESSING
    assert request.amount == order.total
    assert shop.store.payments[request.payment_id].status is PaymentStatus.REQUESTED
    assert types(await shop.outbox()) == ["placed", "payment_requested"]


async def test_asking_twice_makes_one_payment(shop: Shop) -> None:
    order, _ = await shop.payment_requested((await shop.sells(), 1))

    [again] = await shop.request_payment([order.id])

    assert accepted(again) == await shop.now(order)
    assert len(shop.store.payments) == 1
    assert types(await shop.history(order)) == ["placed", "payment_requested"]


async def test_asking_twice_in_one_batch_makes_one_payment(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))

    one, two = await shop.request_payment([order.id, order.id])

    assert accepted(one).status is accepted(two).status is OrderStatus.PROCESSING
    assert len(shop.store.payments) == 1


async def test_a_paid_order_is_returned_as_it_is(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(), 1))
    [again] = await shop.request_payment([order.id])
    assert again == order
    assert len(shop.store.payments) == 1


async def test_a_restored_database_asks_for_each_attempt_under_the_key_that_the_provider_knows(shop: Shop) -> None:
    pen = await shop.sells(stock=5)
    order = await shop.order((pen, 1))
    backup = {name: deepcopy(getattr(shop.store, name)) for name in ("orders", "products", "payments", "events")}
    shop.provider.declines = True
    first = await shop.ask_for_payment(order)
    await shop.process_payment([first])
    second = await shop.ask_for_payment(order)

    for name, kept in backup.items():
        setattr(shop.store, name, kept)
    again = await shop.ask_for_payment(order)
    await shop.process_payment([again])

    assert again.payment_id == first.payment_id
    assert (await shop.ask_for_payment(order)).payment_id == second.payment_id


async def test_an_order_whose_last_payment_has_an_id_of_an_earlier_release_gets_another_one(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    shop.store.orders[order.id].payment_id = PAYMENT

    request = await shop.ask_for_payment(order)

    assert request.payment_id == payment_after(PAYMENT, order.id) != payment_after(None, order.id)


async def test_an_order_that_failed_gets_a_new_payment(shop: Shop) -> None:
    shop.provider.declines = True
    order = await shop.paid((await shop.sells(), 1))
    assert order.status is OrderStatus.FAILED

    request = await shop.ask_for_payment(order)

    assert request.payment_id != order.payment_id
    assert (await shop.now(order)).failure_reason is None
    assert {payment.status for payment in shop.store.payments.values()} == {
        PaymentStatus.FAILED,
        PaymentStatus.REQUESTED,
    }


async def test_what_cannot_be_paid_for_is_refused_alone(shop: Shop) -> None:
    pen = await shop.sells()
    cancelled, deleted, open_ = [await shop.order((pen, 1)) for _ in range(3)]
    await shop.cancel_order([cancelled.id])
    await shop.delete_order([deleted.id])

    outcomes = await shop.request_payment([cancelled.id, deleted.id, UNKNOWN_ORDER, open_.id])

    assert [type(outcome) for outcome in outcomes] == [IllegalTransition, OrderDeleted, UnknownOrder, Order]
    assert len(shop.store.payments) == 1


@pytest.mark.parametrize("end", ["cancelled", "expired", "refunded"])
async def test_an_order_that_came_to_its_end_takes_no_money(shop: Shop, end: str) -> None:
    pen = await shop.sells()
    if end == "refunded":
        order = await shop.paid((pen, 1))
        await shop.refund_order([await shop.refund_requested(order)])
    else:
        order = await shop.order((pen, 1))
    if end == "cancelled":
        await shop.cancel_order([order.id])
    if end == "expired":
        await shop.is_open_for(EXPIRY)
        await shop.expire_orders()

    [outcome] = await shop.request_payment([order.id])

    assert isinstance(outcome, IllegalTransition)
    assert str(outcome) == f"{end.upper()} cannot become PROCESSING"
