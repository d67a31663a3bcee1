"""What a shop does to an order by hand: cancel, complete, delete."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from adapters.memory.caches import MemoryRecentOrders
from application.intake.unrecorded import Unrecorded
from application.orders.get_history import GetHistory
from application.ports.persistence import UnitOfWork
from domain.errors import IllegalTransition, UnknownOrder
from domain.ids import OrderId
from domain.orders.events import RefundRequested
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


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("verb", ["cancel", "complete", "delete", "request_refund"])
async def test_asking_again_for_what_is_so_already_changes_nothing(shop: Shop, verb: str, *, together: bool) -> None:
    """The first answer may have been lost."""
    pen = await shop.sells()
    order = await (shop.order if verb in {"cancel", "delete"} else shop.paid)((pen, 1))
    use_case = {
        "cancel": shop.cancel_order,
        "complete": shop.complete_order,
        "delete": shop.delete_order,
        "request_refund": shop.request_refund,
    }[verb]
    [first] = await use_case([order.id])
    if verb == "request_refund":
        await shop.refund_order([event async for event in _requests(shop, order)])
    now, history = await shop.now(order), await shop.history(order)

    outcomes = (
        await use_case([order.id] * 2) if together else [*await use_case([order.id]), *await use_case([order.id])]
    )

    assert isinstance(first, Order)
    assert outcomes == [now, now]
    assert (await shop.now(order), await shop.history(order)) == (now, history)


async def _requests(shop: Shop, order: Order) -> AsyncIterator[RefundRequested]:
    for event in await shop.history(order):
        if isinstance(event, RefundRequested):
            yield event


@pytest.mark.parametrize("refunded", [False, True])
async def test_a_refund_that_stands_in_the_way_is_named_by_how_far_it_is(shop: Shop, *, refunded: bool) -> None:
    order = await shop.paid((await shop.sells(), 1))
    request = await shop.refund_requested(order)
    if refunded:
        await shop.refund_order([request])
    [refusal] = await shop.complete_order([order.id])
    assert isinstance(refusal, IllegalTransition)
    expected = "REFUNDED cannot" if refunded else "PAID, with a refund under way, cannot"
    assert str(refusal) == f"{expected} become COMPLETED"


async def test_a_completed_order_is_completed_while_its_refund_is_under_way(shop: Shop) -> None:
    order = await shop.paid((await shop.sells(), 1))
    await shop.complete_order([order.id])
    await shop.refund_requested(order)
    [outcome] = await shop.complete_order([order.id])
    assert accepted(outcome) == await shop.now(order)


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

    for use_case in (shop.cancel_order, shop.complete_order, shop.request_payment, shop.request_refund):
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
