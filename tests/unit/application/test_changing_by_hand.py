"""What a shop does to an order by hand: cancel, complete, delete."""

from uuid import UUID

import pytest

from adapters.memory.caches import MemoryRecentOrders
from application.intake.unrecorded import Unrecorded
from application.orders.get_history import GetHistory
from application.ports.persistence import UnitOfWork
from domain.errors import IllegalTransition, UnknownOrder
from domain.ids import OrderId
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.unit.shop import Shop, accepted, types

UNKNOWN_ORDER = OrderId(UUID(int=404))


def history_of(unit_of_work: UnitOfWork) -> GetHistory:
    recent = MemoryRecentOrders()
    return GetHistory(unit_of_work, recent, Unrecorded(recent, MemoryRecentOrders()))


async def test_an_unpaid_order_is_cancelled(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    [outcome] = await shop.cancel_order([order.id])
    assert accepted(outcome) == await shop.now(order)
    assert accepted(outcome).status is OrderStatus.CANCELLED
    assert types(await shop.outbox()) == ["placed", "cancelled"]


async def test_what_cannot_be_cancelled_is_refused_alone(shop: Shop) -> None:
    pen = await shop.sells()
    paid, open_ = await shop.paid((pen, 1)), await shop.order((pen, 1))

    outcomes = await shop.cancel_order([paid.id, UNKNOWN_ORDER, open_.id])

    assert [type(outcome) for outcome in outcomes] == [IllegalTransition, UnknownOrder, Order]
    assert await shop.now(paid) == paid


async def test_the_second_of_two_cancellations_in_a_batch_is_refused(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    outcomes = await shop.cancel_order([order.id, order.id])
    assert [type(outcome) for outcome in outcomes] == [Order, IllegalTransition]
    assert types(await shop.history(order)) == ["placed", "cancelled"]


async def test_a_paid_order_is_completed(shop: Shop) -> None:
    pen = await shop.sells(stock=5)
    order = await shop.paid((pen, 2))
    [outcome] = await shop.complete_order([order.id])
    assert accepted(outcome).status is OrderStatus.COMPLETED
    assert await shop.stock_of(pen) == 3


async def test_an_unpaid_order_is_not_completed(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    [outcome] = await shop.complete_order([order.id])
    assert isinstance(outcome, IllegalTransition)
    assert await shop.now(order) == order


async def test_a_deleted_order_is_gone_for_everyone(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    [outcome] = await shop.delete_order([order.id])
    assert accepted(outcome).deleted

    for use_case in (shop.delete_order, shop.cancel_order, shop.request_payment, shop.request_refund):
        [refusal] = await use_case([order.id])
        assert isinstance(refusal, UnknownOrder)
    with pytest.raises(UnknownOrder):
        await history_of(shop.unit_of_work)(order.id)
    assert types(await shop.outbox()) == ["placed", "deleted"]


async def test_an_order_with_money_in_it_is_not_deleted(shop: Shop) -> None:
    pen = await shop.sells()
    paid, (processing, _) = await shop.paid((pen, 1)), await shop.payment_requested((pen, 1))
    for order in (paid, processing):
        [outcome] = await shop.delete_order([order.id])
        assert isinstance(outcome, IllegalTransition)
        assert not (await shop.now(order)).deleted


async def test_the_history_of_an_order_is_told_in_order(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(), 1))
    await shop.order((await shop.sells(), 1))
    unit_of_work: UnitOfWork = shop.unit_of_work
    history = await history_of(unit_of_work)(order.id)
    assert types(history) == ["placed", "payment_requested", "stock_reserved", "paid"]
    assert [event.sequence for event in history] == [1, 2, 3, 4]


async def test_an_order_that_does_not_exist_has_no_history(shop: Shop) -> None:
    with pytest.raises(UnknownOrder):
        await history_of(shop.unit_of_work)(UNKNOWN_ORDER)
