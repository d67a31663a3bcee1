from collections.abc import Collection
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from attrs.exceptions import FrozenAttributeError
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import CurrencyMismatch, InvalidAmount, InvalidOrder
from domain.ids import MAX_ID, ProductId, UserId
from domain.money import MAX_MINOR
from domain.orders.limits import MAX_LINES, MAX_QUANTITY, expect_within_limits
from domain.orders.line import OrderLine
from domain.orders.order import Order
from domain.orders.status import HAS_A_PAYMENT, HAS_MONEY, MAY_HOLD_STOCK, FailureReason, OrderStatus
from tests.unit.builders import NOW, PAYMENT, a_line, an_order, euros, order_in, placed

prices = st.tuples(st.integers(0, 10**9), st.integers(1, 10**4))


@given(st.lists(prices, min_size=1, max_size=10))
def test_the_total_is_what_the_lines_add_up_to(lines: list[tuple[int, int]]) -> None:
    order, event = placed(*(a_line(n, quantity=q, price=p) for n, (p, q) in enumerate(lines, start=1)))
    assert order.total == euros(sum(price * quantity for price, quantity in lines))
    assert event.total == order.total


def test_placing_an_order_begins_its_history() -> None:
    order, event = placed(a_line())
    assert (order.status, order.version, order.failure_reason) == (OrderStatus.PENDING, 1, None)
    assert (order.created_at, order.updated_at) == (NOW, NOW)
    assert (event.order_id, event.sequence, event.lines, event.user_id) == (order.id, 1, order.lines, order.user_id)


def test_an_order_has_items() -> None:
    with pytest.raises(InvalidOrder, match="has items") as refusal:
        from_lines([])
    assert refusal.value.field == "items"


def test_a_new_order_has_a_bounded_number_of_items_and_of_units_in_each() -> None:
    a, b = ProductId(1), ProductId(2)
    expect_within_limits([(ProductId(number), MAX_QUANTITY) for number in range(1, MAX_LINES + 1)])
    expect_within_limits([(a, MAX_QUANTITY - 1), (b, MAX_QUANTITY), (a, 1)])
    for items, field in (
        ([], "items"),
        ([(a, 1)] * (MAX_LINES + 1), "items"),
        ([(a, 1), (b, 0)], "items[1].quantity"),
        ([(a, MAX_QUANTITY + 1)], "items[0].quantity"),
        ([(a, MAX_QUANTITY - 1), (b, 1), (a, 2)], "items[2].quantity"),
    ):
        with pytest.raises(InvalidOrder) as refusal:
            expect_within_limits(items)
        assert refusal.value.field == field


def test_a_product_stands_in_one_item_only() -> None:
    with pytest.raises(InvalidOrder, match="add up its quantities"):
        from_lines([a_line(1), a_line(2), a_line(1)])


def test_the_items_of_an_order_have_one_currency() -> None:
    with pytest.raises(CurrencyMismatch) as refusal:
        from_lines([a_line(1), a_line(2, currency="JPY")])
    assert refusal.value.field == "items"


def test_a_total_that_could_not_be_counted_exactly_is_refused() -> None:
    with pytest.raises(InvalidAmount):
        from_lines([a_line(1, quantity=2, price=MAX_MINOR // 2 + 1)])
    with pytest.raises(InvalidAmount):
        from_lines([a_line(1, quantity=1, price=MAX_MINOR), a_line(2, quantity=1, price=1)])


@pytest.mark.parametrize("quantity", [-1, 0, 2**31, 2**63])
def test_a_quantity_is_what_a_database_can_store(quantity: int) -> None:
    with pytest.raises(ValueError, match="quantity"):
        a_line(quantity=quantity)


@pytest.mark.parametrize("number", [-1, 0, MAX_ID + 1])
def test_ids_are_bounded(number: int) -> None:
    with pytest.raises(ValueError, match="product_id"):
        OrderLine(product_id=ProductId(number), quantity=1, unit_price=euros(1))
    with pytest.raises(ValueError, match="user_id"):
        evolve(an_order(), user_id=UserId(number))


def test_an_order_whose_total_is_not_the_sum_of_its_lines_is_found_when_it_is_loaded() -> None:
    with pytest.raises(InvalidOrder, match="not the sum"):
        evolve(an_order(), total=euros(1))


def test_an_order_with_a_product_in_two_lines_is_found_when_it_is_loaded() -> None:
    order = an_order(a_line(1), a_line(2))
    with pytest.raises(InvalidOrder, match="one item only"):
        evolve(order, lines=(*order.lines, order.lines[0]), total=order.total + order.lines[0].total)


HAS_PAYMENT_ID = HAS_A_PAYMENT | {OrderStatus.FAILED}


@pytest.mark.parametrize("status", OrderStatus)
@pytest.mark.parametrize(
    ("marks", "of"),
    [
        ({"holds_stock": True}, MAY_HOLD_STOCK),
        ({"refund_requested": True}, {OrderStatus.PAID, OrderStatus.COMPLETED, OrderStatus.REFUNDED}),
        ({"deleted": True}, set(OrderStatus) - HAS_A_PAYMENT),
        ({"failure_reason": FailureReason.PAYMENT_DECLINED}, {OrderStatus.FAILED}),
        ({"payment_id": PAYMENT}, HAS_PAYMENT_ID),
        ({"payment_id": None}, set(OrderStatus) - HAS_PAYMENT_ID),
        ({"holds_stock": False}, set(OrderStatus) - HAS_MONEY),
        ({"failure_reason": None}, set(OrderStatus) - {OrderStatus.FAILED}),
    ],
    ids=lambda value: " ".join(map(str, *value.items())) if isinstance(value, dict) else "",
)
def test_an_order_in_a_state_that_no_verb_leads_to_is_found_when_it_is_loaded(
    marks: dict[str, Any], of: Collection[OrderStatus], status: OrderStatus
) -> None:
    order, _ = order_in(status)
    if status in of:
        assert evolve(order, **marks).status is status
    else:
        with pytest.raises(InvalidOrder, match=status.value):
            evolve(order, **marks)


def test_an_order_with_a_negative_version_is_found_when_it_is_loaded() -> None:
    with pytest.raises(ValueError, match="version"):
        evolve(an_order(), version=-1)


@pytest.mark.parametrize("field", ["id", "user_id", "lines", "total", "created_at"])
def test_what_was_agreed_stays(field: str) -> None:
    order = an_order()
    with pytest.raises(FrozenAttributeError):
        setattr(order, field, getattr(order, field))


def test_orders_compare_by_what_they_are() -> None:
    assert an_order() == an_order()
    assert an_order() != an_order(number=2)
    assert an_order() != evolve(an_order(), updated_at=NOW + timedelta(seconds=1))


def test_money_moves_only_for_an_order_with_a_payment() -> None:
    order, _ = order_in(OrderStatus.PROCESSING)
    order.payment_id = None
    with pytest.raises(InvalidOrder, match="has no payment"):
        order.pay(at=NOW)


def from_lines(lines: list[OrderLine]) -> None:
    Order.place(order_id=an_order().id, user_id=UserId(1), lines=lines, at=NOW)
