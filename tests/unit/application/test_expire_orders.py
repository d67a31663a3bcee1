from datetime import timedelta

import pytest

from application.errors import Aborted
from application.orders.expire_orders import ExpireOrders
from domain.ids import UserId
from domain.orders.events import OrderAccepted
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from entrypoints.programs.worker import Worker
from tests.unit.builders import a_line
from tests.unit.shop import EXPIRY, LOOK_EVERY, Shop, types
from tests.unit.unsteady import Trouble


async def test_only_unpaid_orders_whose_time_is_up_expire(shop: Shop) -> None:
    pen = await shop.sells()
    overdue, cancelled, deleted = [await shop.order((pen, 1)) for _ in range(3)]
    await shop.cancel_order([cancelled.id])
    await shop.delete_order([deleted.id])
    paid, (processing, _) = await shop.paid((pen, 1)), await shop.payment_requested((pen, 1))
    assert await shop.is_open_for(EXPIRY) == []
    young = await shop.order((pen, 1))

    report = await shop.expire_orders()

    assert (report.expired, report.failed) == ((overdue.id,), ())
    statuses = [(await shop.now(order)).status for order in (overdue, cancelled, paid, processing, young)]
    assert [status.value for status in statuses] == ["EXPIRED", "CANCELLED", "PAID", "PROCESSING", "PENDING"]
    assert types(await shop.history(overdue)) == ["placed", "expired"]


async def test_no_time_to_pay_passes_while_no_api_is_at_work(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    await shop.is_open_for(EXPIRY / 2)
    apis = 0

    async def is_open() -> bool:
        return apis > 0

    worker = Worker(use_cases=shop.use_cases, stuck_after=EXPIRY, batches=1, is_open=is_open)
    for _ in range(2 * (EXPIRY // LOOK_EVERY)):
        shop.clock.forward(LOOK_EVERY)
        await worker.expire()
    apis = 1
    for _ in range(EXPIRY // LOOK_EVERY // 2 - 2):
        await worker.expire()
        shop.clock.forward(LOOK_EVERY)
    assert (await shop.now(order)).status is OrderStatus.PENDING
    for _ in range(4):
        await worker.expire()
        shop.clock.forward(LOOK_EVERY)
    assert (await shop.now(order)).status is OrderStatus.EXPIRED


async def test_a_moment_too_early_nothing_expires(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    assert await shop.is_open_for(EXPIRY - timedelta(microseconds=1)) == []
    assert (await shop.expire_orders()).expired == ()
    shop.clock.forward(timedelta(microseconds=1))
    assert (await shop.expire_orders()).expired == (order.id,)
    assert (await shop.expire_orders()).expired == ()


async def test_a_bad_order_stops_nothing(shop: Shop) -> None:
    pen = await shop.sells()
    orders = [await shop.order((pen, 1)) for _ in range(4)]
    await shop.is_open_for(EXPIRY)
    broken = ValueError("a row that breaks an invariant")
    shop.unsteady.to_come.extend([None, Trouble(broken), None, Trouble(broken)])

    report = await shop.expire_orders()

    assert report.failed == ((orders[1].id, broken),)
    assert report.expired == (orders[0].id, orders[2].id, orders[3].id)
    assert (await shop.now(orders[1])).status is OrderStatus.PENDING


async def test_a_transaction_that_was_rolled_back_is_tried_once_more(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    await shop.is_open_for(EXPIRY)
    shop.unsteady.to_come.extend([None, Trouble(Aborted("deadlock"))])
    assert (await shop.expire_orders()).expired == (order.id,)


async def test_an_order_paid_for_at_the_last_moment_is_no_failure(shop: Shop) -> None:
    """The customer requests payment after the order was found overdue and before it expires."""
    order = await shop.order((await shop.sells(), 1))
    await shop.is_open_for(EXPIRY)
    await shop.ask_for_payment(order)

    [outcome] = await shop.expire_orders._expire([order.id])  # noqa: SLF001 - it was found the moment before

    assert str(outcome) == "PROCESSING cannot become EXPIRED"
    assert (await shop.now(order)).status is OrderStatus.PROCESSING


async def test_more_orders_than_a_page_holds_expire_in_one_go(shop: Shop) -> None:
    pen = await shop.sells()
    orders = [await shop.order((pen, 1)) for _ in range(7)]
    await shop.is_open_for(EXPIRY)
    broken = RuntimeError("cannot be")
    shop.unsteady.to_come.extend([None, Trouble(broken), None, None, Trouble(broken)])

    report = await ExpireOrders(shop.unsteady, shop.clock, EXPIRY, look_every=LOOK_EVERY, page=3)()

    assert report.failed == ((orders[2].id, broken),)
    assert len(report.expired) == 6


@pytest.mark.parametrize("outage", [EXPIRY - timedelta(minutes=1), EXPIRY, timedelta(days=3)], ids=str)
async def test_the_time_of_an_outage_is_no_time_to_pay(shop: Shop, outage: timedelta) -> None:
    """Nobody could pay meanwhile: a server was down, or the whole shop was stopped over a weekend."""
    order = await shop.order((await shop.sells(), 1))
    half = EXPIRY / 2
    assert await shop.is_open_for(half) == []
    shop.clock.forward(outage)
    # Of the outage, as much counts as it takes to notice that there is one.
    assert await shop.is_open_for(half - 3 * LOOK_EVERY) == []
    assert await shop.is_open_for(3 * LOOK_EVERY) == [order.id]


async def test_however_often_the_shop_is_interrupted_its_orders_expire(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    for _ in range(int(EXPIRY / LOOK_EVERY)):
        assert (await shop.expire_orders()).expired in {(), (order.id,)}
        shop.clock.forward(timedelta(hours=1))
    assert (await shop.now(order)).status is OrderStatus.EXPIRED


async def test_an_order_that_was_queued_can_be_paid_for_from_when_it_is_recorded(shop: Shop) -> None:
    """The broker kept it while the database, or the broker itself, could not be reached."""
    order, placed = Order.place(order_id=shop.new_id(), user_id=UserId(1), lines=[a_line()], at=shop.clock())
    accepted = OrderAccepted(order_id=order.id, at=placed.at, user_id=UserId(1), lines=order.lines, total=order.total)
    await shop.sells()
    await shop.is_open_for(2 * EXPIRY)
    assert await shop.persist_orders([accepted]) == [None]
    assert await shop.is_open_for(EXPIRY) == []
    assert (await shop.expire_orders()).expired == (order.id,)
    assert (await shop.now(order)).created_at == placed.at


async def test_the_clocks_of_the_processes_do_not_matter(shop: Shop) -> None:
    """An order is dated by a process whose clock is a year fast or slow. The database's clock decides."""
    pen = await shop.sells()
    right = shop.clock.moment
    orders = []
    for wrong in (timedelta(days=-365), timedelta(days=365)):
        shop.store.now = lambda: right
        shop.clock.moment = right + wrong
        orders.append((await shop.order((pen, 1))).id)
    shop.store.now, shop.clock.moment = shop.clock, right
    assert await shop.is_open_for(EXPIRY) == []
    assert (await shop.expire_orders()).expired == tuple(orders)


@pytest.mark.parametrize("step", [timedelta(minutes=-5), timedelta(days=-365), timedelta(days=365)], ids=str)
async def test_a_step_of_the_databases_clock_costs_nobody_his_time_and_keeps_no_order_for_ever(
    shop: Shop, step: timedelta
) -> None:
    pen = await shop.sells()
    assert await shop.is_open_for(EXPIRY) == []
    before = await shop.order((pen, 1))
    assert await shop.is_open_for(LOOK_EVERY) == []
    shop.clock.forward(step)
    after = await shop.order((pen, 1))
    assert await shop.is_open_for(EXPIRY - 3 * LOOK_EVERY) == []
    assert {*await shop.is_open_for(EXPIRY)} == {before.id, after.id}


async def test_an_order_that_could_not_expire_does_so_at_the_next_look(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    await shop.is_open_for(EXPIRY)
    shop.unsteady.to_come.extend([None, Trouble(ValueError("a row that breaks an invariant"))])
    assert (await shop.expire_orders()).expired == ()
    shop.clock.forward(LOOK_EVERY)
    assert (await shop.expire_orders()).expired == (order.id,)


async def test_an_order_whose_transaction_was_open_at_a_look_expires_at_the_next(shop: Shop) -> None:
    pen = await shop.sells()
    await shop.is_open_for(EXPIRY)
    assert (await shop.expire_orders()).expired == ()
    late = await shop.order((pen, 1))
    shop.store.recorded_at[late.id] = shop.clock() - EXPIRY - timedelta(seconds=30)
    shop.clock.forward(LOOK_EVERY)
    assert (await shop.expire_orders()).expired == (late.id,)


async def test_an_order_that_the_looks_begin_behind_expires_within_an_hour(shop: Shop) -> None:
    """The clock of the database was set back by more than the time to pay, and forward again."""
    pen = await shop.sells()
    await shop.is_open_for(EXPIRY)
    assert (await shop.expire_orders()).expired == ()
    late = await shop.order((pen, 1))
    shop.store.recorded_at[late.id] = shop.clock() - EXPIRY - timedelta(days=1)
    assert late.id in await shop.is_open_for(timedelta(hours=1))


async def test_where_the_time_to_pay_is_short_it_expires_within_four_times_of_it(shop: Shop) -> None:
    time_to_pay = timedelta(minutes=5)
    shop.expire_orders = ExpireOrders(shop.unsteady, shop.clock, time_to_pay, look_every=LOOK_EVERY)
    pen = await shop.sells()
    await shop.is_open_for(time_to_pay)
    assert (await shop.expire_orders()).expired == ()
    late = await shop.order((pen, 1))
    shop.store.recorded_at[late.id] = shop.clock() - time_to_pay - timedelta(days=1)
    assert late.id in await shop.is_open_for(4 * time_to_pay)
