from datetime import timedelta

from application.errors import Aborted
from application.orders.expire_orders import ExpireOrders
from domain.orders.status import OrderStatus
from tests.unit.shop import EXPIRY, Shop, types
from tests.unit.unsteady import Trouble


async def test_only_unpaid_orders_whose_time_is_up_expire(shop: Shop) -> None:
    pen = await shop.sells()
    overdue, cancelled, deleted = [await shop.order((pen, 1)) for _ in range(3)]
    await shop.cancel_order([cancelled.id])
    await shop.delete_order([deleted.id])
    paid, (processing, _) = await shop.paid((pen, 1)), await shop.payment_requested((pen, 1))
    shop.clock.forward(EXPIRY)
    young = await shop.order((pen, 1))

    report = await shop.expire_orders()

    assert (report.expired, report.failed) == ((overdue.id,), ())
    statuses = [(await shop.now(order)).status for order in (overdue, cancelled, paid, processing, young)]
    assert [status.value for status in statuses] == ["EXPIRED", "CANCELLED", "PAID", "PROCESSING", "PENDING"]
    assert types(await shop.history(overdue)) == ["placed", "expired"]


async def test_a_moment_too_early_nothing_expires(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    shop.clock.forward(EXPIRY - timedelta(microseconds=1))
    assert (await shop.expire_orders()).expired == ()
    shop.clock.forward(timedelta(microseconds=1))
    assert (await shop.expire_orders()).expired == (order.id,)
    assert (await shop.expire_orders()).expired == ()


async def test_a_bad_order_stops_nothing(shop: Shop) -> None:
    pen = await shop.sells()
    orders = [await shop.order((pen, 1)) for _ in range(4)]
    shop.clock.forward(EXPIRY)
    broken = ValueError("a row that breaks an invariant")
    shop.unsteady.to_come.extend([Trouble(broken), None, Trouble(broken)])

    report = await shop.expire_orders()

    assert report.failed == ((orders[1].id, broken),)
    assert report.expired == (orders[0].id, orders[2].id, orders[3].id)
    assert (await shop.now(orders[1])).status is OrderStatus.PENDING


async def test_a_transaction_that_was_rolled_back_is_tried_once_more(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    shop.clock.forward(EXPIRY)
    shop.unsteady.to_come.append(Trouble(Aborted("deadlock")))
    assert (await shop.expire_orders()).expired == (order.id,)


async def test_an_order_paid_for_at_the_last_moment_is_no_failure(shop: Shop) -> None:
    """The customer requests payment after the order was found overdue and before it expires."""
    order = await shop.order((await shop.sells(), 1))
    shop.clock.forward(EXPIRY)
    overdue = await shop.expire_orders._overdue(None)  # noqa: SLF001 - the two steps are taken apart here
    assert overdue == [order.id]
    await shop.ask_for_payment(order)

    [outcome] = await shop.expire_orders._expire(overdue)  # noqa: SLF001 - as above

    assert str(outcome) == "PROCESSING cannot become EXPIRED"
    assert (await shop.now(order)).status is OrderStatus.PROCESSING


async def test_more_orders_than_a_page_holds_expire_in_one_go(shop: Shop) -> None:
    pen = await shop.sells()
    orders = [await shop.order((pen, 1)) for _ in range(7)]
    shop.clock.forward(EXPIRY)
    broken = RuntimeError("cannot be")
    shop.unsteady.to_come.extend([Trouble(broken), None, None, Trouble(broken)])

    report = await ExpireOrders(shop.unsteady, shop.clock, EXPIRY, page=3)()

    assert report.failed == ((orders[2].id, broken),)
    assert len(report.expired) == 6
