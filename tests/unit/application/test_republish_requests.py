from datetime import timedelta

import pytest

from adapters.codecs.events import decode
from application.messaging.republish import RepublishRequests
from domain.orders.events import Event
from tests.unit.shop import Shop
from tests.unit.unsteady import Trouble

IDLE = timedelta(seconds=15)


async def lost(shop: Shop) -> None:
    """The broker was given everything, and has lost it."""
    shop.store.outbox.clear()


async def republished(shop: Shop) -> list[Event]:
    return [decode(entry.body) for entry in await shop.outbox()]


async def test_a_payment_that_the_broker_lost_is_republished(shop: Shop) -> None:
    _, request = await shop.payment_requested((await shop.sells(), 1))
    await lost(shop)
    shop.clock.forward(IDLE)

    assert (await RepublishRequests(shop.unit_of_work, shop.clock)(idle=IDLE)).count == 1

    assert await republished(shop) == [request]


async def test_a_refund_that_the_broker_lost_is_republished(shop: Shop) -> None:
    request = await shop.refund_requested(await shop.paid((await shop.sells(), 1)))
    await lost(shop)
    shop.clock.forward(IDLE)
    assert (await RepublishRequests(shop.unit_of_work, shop.clock)(idle=IDLE)).count == 1
    assert await republished(shop) == [request]


async def test_an_order_that_can_not_be_written_keeps_no_other_from_it(shop: Shop) -> None:
    orders = [await shop.payment_requested((await shop.sells(), 1)) for _ in range(2)]
    await lost(shop)
    shop.clock.forward(IDLE)
    refusal = ValueError("a row that breaks a rule")
    shop.unsteady.to_come.extend([Trouble(refusal), Trouble(refusal)])

    outcome = await RepublishRequests(shop.unsteady, shop.clock)(idle=IDLE)

    [(failed, error)] = outcome.failed
    assert (outcome.count, error) == (1, refusal)
    assert await republished(shop) == [request for order, request in orders if order.id != failed]


async def test_only_the_last_attempt_to_pay_is_republished(shop: Shop) -> None:
    shop.provider.declines = True
    order = await shop.paid((await shop.sells(), 1))
    request = await shop.ask_for_payment(order)
    await lost(shop)
    shop.clock.forward(IDLE)
    await RepublishRequests(shop.unit_of_work, shop.clock)(idle=IDLE)
    assert await republished(shop) == [request]


async def test_orders_that_do_not_wait_or_not_for_long_are_left_alone(shop: Shop) -> None:
    pen = await shop.sells()
    await shop.order((pen, 1))
    await shop.paid((pen, 1))
    refunded = await shop.paid((pen, 1))
    await shop.refund_order([await shop.refund_requested(refunded)])
    shop.clock.forward(IDLE)
    await shop.payment_requested((pen, 1))
    await lost(shop)

    assert (await RepublishRequests(shop.unit_of_work, shop.clock)(idle=IDLE)).count == 0
    assert await republished(shop) == []


async def test_more_orders_than_a_page_holds_are_republished_in_one_go(shop: Shop) -> None:
    pen = await shop.sells(stock=7)
    requests = [(await shop.payment_requested((pen, 1)))[1] for _ in range(7)]
    await lost(shop)
    shop.clock.forward(IDLE)
    assert (await RepublishRequests(shop.unit_of_work, shop.clock, page=3)(idle=IDLE)).count == 7
    assert await republished(shop) == requests


async def test_a_request_republished_though_it_was_not_lost_changes_nothing(shop: Shop) -> None:
    order, request = await shop.payment_requested((await shop.sells(stock=5, price=100), 1))
    await lost(shop)
    shop.clock.forward(IDLE)
    await RepublishRequests(shop.unit_of_work, shop.clock)(idle=IDLE)
    assert await republished(shop) == [request]

    assert await shop.process_payment([request, request]) == [None, None]

    assert (await shop.now(order)).status.value == "PAID"
    assert shop.provider.taken == 100


async def test_a_stuck_order_is_republished_more_and_more_seldom(shop: Shop) -> None:
    await shop.payment_requested((await shop.sells(stock=5, price=100), 1))
    resume = RepublishRequests(shop.unit_of_work, shop.clock)
    republished_after = []
    for look in range(1, 200):
        await lost(shop)
        shop.clock.forward(IDLE)
        if (await resume(idle=IDLE)).count:
            republished_after.append(look)
    assert republished_after == [1, 2, 4, 8, 16, 32, 64, 128, 192]


async def test_what_was_asked_for_long_ago_by_a_wrong_clock_is_republished_now_and_then(shop: Shop) -> None:
    """The clock was a year behind when the payment was requested, and was set right since."""
    _, request = await shop.payment_requested((await shop.sells(), 1))
    await lost(shop)
    shop.clock.forward(timedelta(days=366))
    for _ in range(64):
        shop.clock.forward(IDLE)
        await RepublishRequests(shop.unit_of_work, shop.clock)(idle=IDLE)
    assert await republished(shop) == [request]


async def test_what_a_slow_clock_dates_behind_the_looks_is_found_and_then_has_its_turns(shop: Shop) -> None:
    """A look begins where an earlier one has left nothing. One in six looks at all."""
    republish = RepublishRequests(shop.unit_of_work, shop.clock)
    await republish(idle=IDLE)
    for _ in range(100):
        shop.clock.forward(IDLE)
        await republish(idle=IDLE)
    shop.clock.forward(-100 * IDLE)
    _, request = await shop.payment_requested((await shop.sells(), 1))
    shop.clock.forward(100 * IDLE)
    await lost(shop)
    for _ in range(6 + 64):
        shop.clock.forward(IDLE)
        await republish(idle=IDLE)
    assert await republished(shop) == [request]


@pytest.mark.parametrize("ahead", [timedelta(minutes=2), timedelta(days=1), timedelta(days=366)])
async def test_what_was_asked_for_in_the_future_is_republished_now_and_then(shop: Shop, ahead: timedelta) -> None:
    """The clock was ahead when the payment was requested, and was set right since."""
    shop.clock.forward(ahead)
    _, request = await shop.payment_requested((await shop.sells(), 1))
    shop.clock.forward(-ahead)
    count = 0
    for _ in range(16):
        await lost(shop)
        shop.clock.forward(IDLE / 4)
        count += (await RepublishRequests(shop.unit_of_work, shop.clock)(idle=IDLE / 4)).count
        assert await republished(shop) in ([], [request])
    assert 0 < count <= 4


async def test_at_the_start_what_was_asked_for_in_the_future_is_republished(shop: Shop) -> None:
    shop.clock.forward(timedelta(days=1))
    _, request = await shop.payment_requested((await shop.sells(), 1))
    shop.clock.forward(-timedelta(days=1))
    await lost(shop)
    assert (await RepublishRequests(shop.unit_of_work, shop.clock)(idle=timedelta(0))).count == 1
    assert await republished(shop) == [request]
