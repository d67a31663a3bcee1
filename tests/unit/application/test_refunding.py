import asyncio

import pytest

from application.errors import OutcomeUnknown, Unavailable
from domain.errors import IllegalTransition
from domain.orders.status import OrderStatus
from domain.payments.payment import PaymentStatus
from tests.unit.provider import Crash
from tests.unit.shop import Shop, accepted, types
from tests.unit.unsteady import Trouble


@pytest.mark.parametrize("completed", [False, True])
async def test_the_money_and_the_stock_are_given_back(shop: Shop, *, completed: bool) -> None:
    pen = await shop.sells(stock=5)
    order = await shop.paid((pen, 2))
    if completed:
        await shop.complete_order([order.id])

    assert await shop.refund_order([await shop.refund_requested(order)]) == [None]

    order = await shop.now(order)
    assert (order.status, order.holds_stock) == (OrderStatus.REFUNDED, False)
    assert (shop.provider.taken, await shop.stock_of(pen)) == (0, 5)
    assert types(await shop.history(order))[-2:] == ["refund_requested", "refunded"]
    [payment] = shop.store.payments.values()
    assert payment.status is PaymentStatus.REFUNDED


async def test_a_refund_asked_for_twice_is_given_once(shop: Shop) -> None:
    pen = await shop.sells(stock=5)
    order = await shop.paid((pen, 2))
    request = await shop.refund_requested(order)

    [again] = await shop.request_refund([order.id])
    assert accepted(again) == await shop.now(order)
    assert await shop.refund_order([request, request]) == [None, None]
    assert await shop.refund_order([request]) == [None]
    [after] = await shop.request_refund([order.id])

    assert accepted(after).status is OrderStatus.REFUNDED
    assert await shop.stock_of(pen) == 5
    assert types(await shop.history(order)).count("refunded") == 1


async def test_two_workers_with_the_same_request_give_back_once(shop: Shop) -> None:
    pen = await shop.sells(stock=5)
    request = await shop.refund_requested(await shop.paid((pen, 2)))
    await asyncio.gather(shop.refund_order([request]), shop.refund_order([request]))
    assert await shop.stock_of(pen) == 5


@pytest.mark.parametrize("status", ["pending", "processing", "failed", "cancelled"])
async def test_an_unpaid_order_is_not_refunded(shop: Shop, status: str) -> None:
    pen = await shop.sells(stock=0)
    order = await shop.order((pen, 1))
    if status == "cancelled":
        await shop.cancel_order([order.id])
    if status in {"processing", "failed"}:
        request = await shop.ask_for_payment(order)
        if status == "failed":
            await shop.process_payment([request])

    [outcome] = await shop.request_refund([order.id])

    assert isinstance(outcome, IllegalTransition)
    assert str(outcome) == f"{status.upper()} cannot become REFUNDED"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("trouble", [Unavailable("no answer"), Crash()], ids=["no answer", "a crash"])
async def test_a_refund_is_given_once_whatever_happens_meanwhile(shop: Shop, when: str, trouble: BaseException) -> None:
    pen = await shop.sells(stock=5)
    order = await shop.paid((pen, 2))
    request = await shop.refund_requested(order)
    getattr(shop.provider, when).append(trouble)

    if isinstance(trouble, Crash):
        with pytest.raises(Crash):
            await shop.refund_order([request])
    else:
        assert await shop.refund_order([request]) == [trouble]
    unsettled = await shop.now(order)
    assert (unsettled.status, unsettled.holds_stock) == (OrderStatus.PAID, True)

    assert await shop.refund_order([request]) == [None]
    assert (await shop.now(order)).status is OrderStatus.REFUNDED
    assert (shop.provider.taken, await shop.stock_of(pen)) == (0, 5)


@pytest.mark.parametrize("committed", [False, True])
async def test_a_crash_around_the_commit_gives_the_stock_back_once(shop: Shop, *, committed: bool) -> None:
    pen = await shop.sells(stock=5)
    request = await shop.refund_requested(await shop.paid((pen, 2)))
    shop.unsteady.to_come.append(Trouble(Crash(), committed=committed))

    with pytest.raises(Crash):
        await shop.refund_order([request])
    assert await shop.refund_order([request]) == [None]

    assert (shop.provider.taken, await shop.stock_of(pen)) == (0, 5)


async def test_a_payment_without_an_answer_holds_up_no_other(shop: Shop) -> None:
    pen = await shop.sells(stock=5)
    orders = [await shop.paid((pen, 1)) for _ in range(3)]
    requests = [await shop.refund_requested(order) for order in orders]
    no_answer = OutcomeUnknown("no answer")
    shop.provider.before.append(no_answer)

    assert await shop.refund_order(requests) == [no_answer, None, None]
    assert [(await shop.now(order)).status.value for order in orders] == ["PAID", "REFUNDED", "REFUNDED"]
    assert await shop.refund_order(requests) == [None] * 3
