import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from adapters.sql.repositories.customers import number_of
from application.errors import Aborted
from application.ports.persistence import OrderConflict, UnitOfWork
from domain.ids import MAX_ID, CustomerId, OrderId, PaymentId, ProductId, UserId, UserName
from domain.money import MAX_MINOR, Money
from domain.orders.details import Address, OrderDetails
from domain.orders.order import Order
from domain.orders.status import FailureReason, OrderStatus
from tests.contract.conftest import keep
from tests.unit.builders import LATER, NOW, PAYMENT, a_line, a_product, an_order, order_in


def order_id(number: int) -> OrderId:
    return OrderId(UUID(int=number))


def placed_after(minutes: int, number: int) -> Order:
    at = NOW + timedelta(minutes=minutes)
    return evolve(an_order(number=number), created_at=at, updated_at=at)


async def stored(unit_of_work: UnitOfWork, *ids: OrderId) -> dict[OrderId, Order]:
    async with unit_of_work.reading() as tx:
        return await tx.orders.get_many(ids)


async def save(unit_of_work: UnitOfWork, *orders: Order) -> None:
    async with unit_of_work() as tx:
        await tx.orders.save_many(orders)


@pytest.fixture
async def shop(unit_of_work: UnitOfWork) -> UnitOfWork:
    """A unit of work over a shop that sells products 1 to 3."""
    await keep(unit_of_work, products=[a_product(number) for number in (1, 2, 3)])
    return unit_of_work


async def test_an_order_is_read_as_it_was_written(shop: UnitOfWork) -> None:
    order = an_order(a_line(3, quantity=1), a_line(1, quantity=1_000_000, price=0), a_line(2))
    await keep(shop, orders=[order])
    assert await stored(shop, order.id) == {order.id: order}


@pytest.mark.parametrize("status", OrderStatus)
async def test_an_order_in_any_state_is_read_as_it_was_written(shop: UnitOfWork, status: OrderStatus) -> None:
    order, _ = order_in(status)
    order = evolve(order, refund_requested=status is OrderStatus.PAID, deleted=status is OrderStatus.EXPIRED)
    await keep(shop, orders=[order])
    assert await stored(shop, order.id) == {order.id: order}


async def test_a_customer_is_known_by_a_number_or_by_a_name(shop: UnitOfWork) -> None:
    """Whatever number a name has in the database, the customer of that number is another one."""
    names = [UserName("auth0|Zoë"), UserName("auth0|zoë"), UserName("007"), UserName("\U0001f58b" * 64)]
    customers = [UserId(7), *names, *(UserId(number_of(name)) for name in names)]
    orders = [evolve(an_order(number=number), user_id=id_) for number, id_ in enumerate(customers, start=1)]
    await keep(shop, orders=orders)
    assert await stored(shop, *(order.id for order in orders)) == {order.id: order for order in orders}
    for order in orders:
        for status in (None, OrderStatus.PENDING):
            async with shop.reading() as tx:
                assert await tx.orders.page(user_id=order.user_id, status=status, before=None, limit=10) == [order]


DETAILS = OrderDetails(
    external_id="Nr. 7",
    email="Zoe@Example.org",
    shipping_address=Address(name="Zoë", city="Łódź"),
    note="one\ntwo",
    metadata={"a": "\U0001f58b", "empty": ""},
    payment_method="pm_1",
)


async def test_the_details_of_an_order_are_read_as_they_were_written_and_as_they_were_changed(shop: UnitOfWork) -> None:
    order = evolve(an_order(), details=DETAILS)
    await keep(shop, orders=[order])
    assert await stored(shop, order.id) == {order.id: order}
    for details in (evolve(DETAILS, note=None, metadata={"b": "c"}, billing_address=Address(city="Wien")), None):
        order.change_details(details, at=LATER)
        await save(shop, order)
        assert await stored(shop, order.id) == {order.id: order}


async def test_an_external_id_is_found_by_its_customer_and_is_one_orders(shop: UnitOfWork) -> None:
    def named(number: int, user_id: CustomerId, external_id: str) -> Order:
        return evolve(an_order(number=number), user_id=user_id, details=OrderDetails(external_id=external_id))

    name = UserName("auth0|Zoë")
    twin = UserId(number_of(name))
    orders = [named(1, UserId(1), "a"), named(2, UserId(1), "b"), named(3, name, "a"), named(4, twin, "b")]
    await keep(shop, orders=[*orders, an_order(number=5), an_order(number=6)])
    wanted = {(customer, external_id) for customer in (UserId(1), name, twin) for external_id in ("a", "b", "c")}
    expected = {(UserId(1), "a"): 1, (UserId(1), "b"): 2, (name, "a"): 3, (twin, "b"): 4}

    async def found() -> dict[tuple[CustomerId, str], int]:
        async with shop.reading() as tx:
            assert await tx.orders.with_external_ids(set()) == {}
            return {key: id_.int for key, id_ in (await tx.orders.with_external_ids(wanted)).items()}

    assert await found() == expected
    with pytest.raises(Aborted):
        await keep(shop, orders=[named(7, name, "a")])
    orders[0].delete(at=LATER)
    await save(shop, orders[0])
    await keep(shop, orders=[named(8, UserId(1), "a")])
    assert await found() == expected | {(UserId(1), "a"): 8}


async def test_ids_are_found_between_two_of_them_the_highest_first(shop: UnitOfWork) -> None:
    # The highest bit says that an id is no signed number.
    numbers = [1, 2**64, 2**127 - 1, 2**127, 2**128 - 1]
    await keep(shop, orders=[an_order(number=number) for number in numbers])

    async def between(first: int, last: int, limit: int = 9) -> list[int]:
        async with shop.reading() as tx:
            found = await tx.orders.ids_between(OrderId(UUID(int=first)), OrderId(UUID(int=last)), limit=limit)
        return [id_.int for id_ in found]

    assert await between(0, 2**128 - 1) == numbers[::-1]
    assert await between(2**64, 2**127) == numbers[3:0:-1]
    assert await between(2, 2**64 - 1) == []
    assert await between(0, 2**127, limit=2) == [2**127, 2**127 - 1]


async def test_the_largest_values_are_kept_exactly(unit_of_work: UnitOfWork) -> None:
    product = evolve(a_product(), id=ProductId(MAX_ID), name="\U0001f58b\ufe0f Füllfederhalter 万年筆")
    order, _ = Order.place(
        order_id=OrderId(UUID(int=2**128 - 1)),
        user_id=UserId(MAX_ID),
        lines=[evolve(a_line(), product_id=ProductId(MAX_ID), quantity=1, unit_price=Money(MAX_MINOR, "JPY"))],
        at=NOW.replace(microsecond=999_999),
    )
    await keep(unit_of_work, products=[product], orders=[order])
    assert await stored(unit_of_work, order.id) == {order.id: order}


async def test_moments_are_read_with_their_time_zone(shop: UnitOfWork) -> None:
    order = an_order()
    await keep(shop, orders=[order])
    assert (await stored(shop, order.id))[order.id].created_at.utcoffset() == timedelta(0)


async def test_only_orders_that_exist_are_found(shop: UnitOfWork) -> None:
    await keep(shop, orders=[an_order(number=1), an_order(number=2)])
    assert (await stored(shop, order_id(2), order_id(3))).keys() == {order_id(2)}


async def test_locked_orders_come_in_the_order_of_their_ids(shop: UnitOfWork) -> None:
    await keep(shop, orders=[an_order(number=number) for number in (3, 1, 2)])
    async with shop() as tx:
        found = await tx.orders.get_many([order_id(2), order_id(3), order_id(1)], lock=True)
    assert list(found) == [order_id(1), order_id(2), order_id(3)]


async def test_an_order_that_exists_cannot_be_added_again(shop: UnitOfWork) -> None:
    await keep(shop, orders=[an_order()])
    with pytest.raises(Aborted):
        await keep(shop, orders=[an_order()])


async def test_every_change_of_an_order_is_kept(shop: UnitOfWork) -> None:
    order = an_order()
    await keep(shop, orders=[order])
    order.request_payment(PAYMENT, at=LATER)
    await save(shop, order)
    assert await stored(shop, order.id) == {order.id: order}
    order.fail(FailureReason.OUT_OF_STOCK, {}, at=LATER, out_of_stock=[ProductId(1), ProductId(MAX_ID)])
    await save(shop, order)
    assert await stored(shop, order.id) == {order.id: order}
    order.request_payment(PaymentId(UUID(int=7)), at=LATER)
    await save(shop, order)
    assert await stored(shop, order.id) == {order.id: order}
    order.fail(FailureReason.PAYMENT_DECLINED, {}, at=LATER)
    await save(shop, order)
    assert await stored(shop, order.id) == {order.id: order}
    order.delete(at=LATER)
    await save(shop, order)
    assert await stored(shop, order.id) == {order.id: order}


async def test_many_orders_are_saved_at_once_each_with_its_own_change(shop: UnitOfWork) -> None:
    orders = [an_order(number=number) for number in range(1, 200)]
    await keep(shop, orders=orders)
    for index, order in enumerate(orders):
        if index % 2:
            order.cancel(at=LATER)
        else:
            order.request_payment(PaymentId(UUID(int=index + 1)), at=LATER)
    await save(shop, *orders)
    assert await stored(shop, *(order.id for order in orders)) == {order.id: order for order in orders}


async def test_a_change_to_what_was_changed_since_is_refused_with_everything_beside_it(shop: UnitOfWork) -> None:
    order, other = an_order(number=1), an_order(number=2)
    await keep(shop, orders=[order, other])
    late, unsaved = evolve(order), evolve(other)
    order.cancel(at=LATER)
    await save(shop, order)

    late.expire(at=LATER)
    unsaved.expire(at=LATER)
    with pytest.raises(OrderConflict):
        await save(shop, unsaved, late)
    assert await stored(shop, order.id, other.id) == {order.id: order, other.id: other}


async def test_what_was_never_added_cannot_be_saved(shop: UnitOfWork) -> None:
    order = an_order()
    order.cancel(at=LATER)
    with pytest.raises(OrderConflict):
        await save(shop, order)


async def test_of_two_who_change_an_order_at_once_without_a_lock_one_is_refused(shop: UnitOfWork) -> None:
    await keep(shop, orders=[an_order()])

    async def cancelled() -> Order:
        order = (await stored(shop, order_id(1)))[order_id(1)]
        order.cancel(at=LATER)
        return order

    orders = [await cancelled(), await cancelled()]
    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(*(save(shop, order) for order in orders), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [OrderConflict]
    assert (await stored(shop, order_id(1)))[order_id(1)].version == 2


async def test_a_list_is_newest_first_and_goes_on_behind_the_last_one(shop: UnitOfWork) -> None:
    orders = [an_order(number=number) for number in (1, 2, 3, 4, 5)]
    await keep(shop, orders=orders)
    async with shop.reading() as tx:
        first = await tx.orders.page(user_id=None, status=None, before=None, limit=2)
        second = await tx.orders.page(user_id=None, status=None, before=first[-1].id, limit=2)
        last = await tx.orders.page(user_id=None, status=None, before=second[-1].id, limit=2)
    assert [first, second, last] == [[orders[4], orders[3]], [orders[2], orders[1]], [orders[0]]]


@pytest.mark.parametrize("of", [{}, {"user_id": UserId(1)}, {"status": OrderStatus.PENDING}], ids=str)
async def test_a_list_is_by_time_whatever_the_ids_are_and_of_one_moment_by_id(
    shop: UnitOfWork, of: dict[str, Any]
) -> None:
    minutes = {9: 0, 2: 1, 7: 1, 5: 1, 1: 2, 8: 3}
    await keep(shop, orders=[placed_after(minute, number) for number, minute in minutes.items()])

    numbers: list[int] = []
    last: OrderId | None = None
    async with shop.reading() as tx:
        while page := await tx.orders.page(**{"user_id": None, "status": None, **of}, before=last, limit=2):
            numbers += [order.id.int for order in page]
            last = page[-1].id
    assert numbers == [8, 1, 7, 5, 2, 9]


async def test_a_list_goes_on_behind_an_order_that_was_deleted_or_has_moved_on_meanwhile(shop: UnitOfWork) -> None:
    deleted, cancelled, oldest = placed_after(1, 2), placed_after(1, 1), placed_after(0, 3)
    await keep(shop, orders=[deleted, cancelled, oldest])
    deleted.delete(at=LATER)
    cancelled.cancel(at=LATER)
    await save(shop, deleted, cancelled)
    async with shop.reading() as tx:
        for before in (deleted, cancelled):
            page = await tx.orders.page(user_id=None, status=OrderStatus.PENDING, before=before.id, limit=10)
            assert page == [oldest]


async def test_behind_an_order_that_does_not_exist_there_is_nothing(shop: UnitOfWork) -> None:
    await keep(shop, orders=[an_order(number=1)])
    async with shop.reading() as tx:
        assert await tx.orders.page(user_id=None, status=None, before=order_id(2), limit=10) == []
        assert await tx.orders.unpaid_since(NOW, after=order_id(2), limit=10) == []


async def test_a_list_can_be_of_one_user_in_one_state_and_leaves_out_the_deleted(shop: UnitOfWork) -> None:
    mine, cancelled, deleted, other = (an_order(number=number) for number in (1, 2, 3, 4))
    cancelled.cancel(at=NOW)
    deleted.delete(at=NOW)
    other = evolve(other, user_id=UserId(2))
    await keep(shop, orders=[mine, cancelled, deleted, other])

    async def numbers(user_id: UserId | None, status: OrderStatus | None) -> list[int]:
        async with shop.reading() as tx:
            page = await tx.orders.page(user_id=user_id, status=status, before=None, limit=10)
            counts = [await tx.orders.count(user_id=user_id, status=status, most=most) for most in (1, 10)]
        assert counts == [min(len(page), 1), len(page)]
        return [order.id.int for order in page]

    assert await numbers(None, None) == [4, 2, 1]
    assert await numbers(UserId(1), None) == [2, 1]
    assert await numbers(None, OrderStatus.PENDING) == [4, 1]
    assert await numbers(UserId(1), OrderStatus.CANCELLED) == [2]
    assert await numbers(UserId(3), None) == []


async def recorded(shop: UnitOfWork, *orders: Order) -> datetime:
    """Record the orders, one after the other, and return a moment between the last and any later one."""
    for order in orders:
        await keep(shop, orders=[order])
        # SQLite counts milliseconds.
        await asyncio.sleep(0.002)
    async with shop() as tx:
        await tx.open_periods.note(longest_gap=timedelta(0))
    async with shop.reading() as tx:
        [newest] = await tx.open_periods.newest(limit=1)
    await asyncio.sleep(0.002)
    return newest.until


async def test_unpaid_orders_are_those_pending_and_recorded_at_the_moment_or_before(shop: UnitOfWork) -> None:
    """When an order was placed, by the clock of a process, makes no difference."""
    old, just, new, paid_for, deleted = (an_order(number=number) for number in (1, 2, 3, 4, 5))
    old = evolve(old, created_at=NOW + timedelta(days=1))
    new = evolve(new, created_at=NOW - timedelta(days=1))
    paid_for.request_payment(PAYMENT, at=NOW)
    deleted.delete(at=NOW)
    nothing = await recorded(shop)
    moment = await recorded(shop, old, paid_for, deleted, just)
    await recorded(shop, new)
    async with shop.reading() as tx:
        assert await tx.orders.unpaid_since(nothing, after=None, limit=10) == []
        assert await tx.orders.unpaid_since(moment, after=None, limit=10) == [old.id, just.id]
        assert await tx.orders.unpaid_since(moment, after=None, limit=1) == [old.id]
        assert await tx.orders.unpaid_since(moment, after=old.id, limit=10) == [just.id]
        assert await tx.orders.unpaid_since(moment, after=just.id, limit=10) == []
        long_ago, after = moment - timedelta(days=1), just.id
        assert await tx.orders.unpaid_since(moment, recorded_after=long_ago, after=None, limit=1) == [old.id]
        assert await tx.orders.unpaid_since(moment, recorded_after=long_ago, after=after, limit=10) == []
        assert await tx.orders.unpaid_since(moment, recorded_after=moment, after=None, limit=10) == []


async def test_no_order_is_unpaid_since_a_moment_in_the_future(shop: UnitOfWork) -> None:
    """The clock of the database was set back meanwhile, and orders are recorded long before that moment."""
    moment = await recorded(shop, an_order())
    async with shop.reading() as tx:
        for step in (timedelta(minutes=1), timedelta(days=365)):
            assert await tx.orders.unpaid_since(moment + step, after=None, limit=10) == []


async def test_a_change_of_an_order_is_no_new_record_of_it(shop: UnitOfWork) -> None:
    order = an_order()
    moment = await recorded(shop, order)
    # It has no verb that leaves it PENDING.
    order.version, order.updated_at = 2, LATER
    await save(shop, order)
    async with shop.reading() as tx:
        assert await tx.orders.unpaid_since(moment, after=None, limit=10) == [order.id]


async def test_what_was_recorded_in_the_past_is_not_dated_anew(shop: UnitOfWork) -> None:
    order = an_order()
    moment = await recorded(shop, order)
    async with shop() as tx:
        await tx.orders.redate_unpaid()
    async with shop.reading() as tx:
        assert await tx.orders.unpaid_since(moment, after=None, limit=10) == [order.id]


async def test_unpaid_orders_come_as_they_were_recorded_whatever_their_ids_are_and_each_once(shop: UnitOfWork) -> None:
    numbers = [9, 2, 7, 5, 1]
    orders = {number: an_order(number=number) for number in numbers}
    moment = await recorded(shop, *orders.values())
    async with shop.reading() as tx:
        in_order = [id_.int for id_ in await tx.orders.unpaid_since(moment, after=None, limit=10)]
    assert in_order == numbers

    found: list[int] = []
    last: OrderId | None = None
    while True:
        async with shop.reading() as tx:
            page = await tx.orders.unpaid_since(moment, after=last, limit=2)
        if not page:
            break
        found += [id_.int for id_ in page]
        last = page[-1]
        # What was dealt with is no longer unpaid, and is still a place to go on from.
        expired = [orders[id_.int] for id_ in page]
        for order in expired:
            order.expire(at=LATER)
        await save(shop, *expired)
    assert found == in_order


async def test_an_order_that_moves_on_while_waiting_ones_are_paged_hides_none_behind_it(shop: UnitOfWork) -> None:
    waiting = [an_order(number=number) for number in (1, 2, 3)]
    for order in waiting:
        order.request_payment(PaymentId(order.id), at=NOW)
    await keep(shop, orders=waiting)
    async with shop.reading() as tx:
        [first] = await tx.orders.waiting_since(NOW, ahead=LATER, after=None, limit=1)
    assert first == (NOW, order_id(1))
    waiting[0].fail(FailureReason.OUT_OF_STOCK, {}, at=LATER)
    await save(shop, waiting[0])
    async with shop.reading() as tx:
        rest = await tx.orders.waiting_since(NOW, ahead=LATER, after=first, limit=10)
    assert [id_ for _, id_ in rest] == [order_id(2), order_id(3)]


async def test_waiting_orders_are_those_that_the_worker_has_to_deal_with(shop: UnitOfWork) -> None:
    numbered: dict[int, Order] = {}
    for number, status in enumerate(OrderStatus, start=1):
        order, _ = order_in(status)
        numbered[number] = evolve(order, id=order_id(number), updated_at=NOW)
    processing, refunding, refunded, fresh = 2, 20, 21, 22
    paid, _ = order_in(OrderStatus.PAID)
    numbered[refunding] = evolve(paid, id=order_id(refunding), refund_requested=True)
    given_back, _ = order_in(OrderStatus.REFUNDED)
    numbered[refunded] = evolve(given_back, id=order_id(refunded), refund_requested=True)
    being_paid, _ = order_in(OrderStatus.PROCESSING)
    numbered[fresh] = evolve(being_paid, id=order_id(fresh), updated_at=LATER)
    assert numbered[processing].status is OrderStatus.PROCESSING
    await keep(shop, orders=list(numbered.values()))

    async def waiting(moment: datetime, after: int | None = None, limit: int = 10, **since: datetime) -> list[int]:
        place = None if after is None else (NOW, order_id(after))
        async with shop.reading() as tx:
            found = await tx.orders.waiting_since(moment, ahead=LATER, after=place, limit=limit, **since)
        assert found == sorted(found)
        return [id_.int for _, id_ in found]

    assert await waiting(NOW) == [processing, refunding]
    assert await waiting(NOW, limit=1) == [processing]
    assert await waiting(NOW, after=processing) == [refunding]
    assert await waiting(LATER, after=refunding) == [fresh]
    assert await waiting(LATER, since=LATER) == [fresh]
    assert await waiting(LATER, since=NOW) == [processing, refunding, fresh]


async def test_a_locked_order_is_changed_by_one_after_the_other(shop: UnitOfWork) -> None:
    await keep(shop, orders=[an_order()])
    locked = asyncio.Event()
    may_go_on = asyncio.Event()

    async def request_payment() -> None:
        async with shop() as tx:
            order = (await tx.orders.get_many({order_id(1)}, lock=True))[order_id(1)]
            locked.set()
            await may_go_on.wait()
            order.request_payment(PAYMENT, at=LATER)
            await tx.orders.save_many([order])

    async def see_it() -> OrderStatus:
        async with shop() as tx:
            return (await tx.orders.get_many({order_id(1)}, lock=True))[order_id(1)].status

    async with asyncio.timeout(60):
        first = asyncio.create_task(request_payment())
        await locked.wait()
        second = asyncio.create_task(see_it())
        may_go_on.set()
        await first
        assert await second is OrderStatus.PROCESSING


@pytest.mark.parametrize("by", [timedelta(minutes=2), timedelta(days=1), timedelta(days=366)])
async def test_an_order_that_is_dated_in_the_future_waits_as_well(shop: UnitOfWork, by: timedelta) -> None:
    """The clock of the process that changed it was ahead, and was set right since."""
    order, _ = order_in(OrderStatus.PROCESSING)
    await keep(shop, orders=[evolve(order, updated_at=LATER + by)])
    async with shop.reading() as tx:
        [place] = await tx.orders.waiting_since(NOW, since=NOW, ahead=LATER, after=None, limit=10)
        assert place == (LATER + by, order.id)
        assert await tx.orders.waiting_since(NOW, ahead=LATER, after=place, limit=10) == []
        assert await tx.orders.waiting_since(NOW, ahead=LATER + by, after=None, limit=10) == []


async def test_orders_are_counted_up_to_a_limit_without_deleted_ones(shop: UnitOfWork) -> None:
    ann = UserName("Ann")
    customers: list[CustomerId] = [ann, ann, UserId(1), UserId(number_of(ann)), ann]
    orders = [evolve(an_order(number=number), user_id=id_) for number, id_ in enumerate(customers, start=1)]
    await keep(shop, orders=[*orders[:4], evolve(orders[4], deleted=True)])
    counted = {}
    for user_id, most in ((None, 10), (None, 4), (None, 3), (ann, 10), (ann, 1), (UserId(9), 10)):
        async with shop.reading() as tx:
            counted[user_id, most] = await tx.orders.count(user_id=user_id, most=most)
    assert counted == {(None, 10): 4, (None, 4): 4, (None, 3): 3, (ann, 10): 2, (ann, 1): 1, (UserId(9), 10): 0}
