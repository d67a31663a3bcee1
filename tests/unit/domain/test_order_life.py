"""The whole life of an order: every verb in every status."""

from collections.abc import Callable, Mapping
from itertools import product as pairs

import pytest
from attrs import evolve

from domain.catalogue.product import Product
from domain.errors import IllegalTransition, OutOfStock
from domain.ids import JobId, ProductId
from domain.orders.details import Address, OrderDetails
from domain.orders.events import Event
from domain.orders.order import Order
from domain.orders.status import FailureReason, OrderStatus
from tests.unit.builders import LATER, NOW, PAYMENT, a_line, a_product, an_order, order_in, placed

S = OrderStatus
Verb = Callable[[Order, Mapping[ProductId, Product]], Event]
JOB = JobId(PAYMENT)
DECLINED = FailureReason.PAYMENT_DECLINED

VERBS: Mapping[str, Verb] = {
    "request_payment": lambda order, _: order.request_payment(PAYMENT, at=LATER),
    "reserve_stock": lambda order, products: order.reserve_stock(products, at=LATER),
    "pay": lambda order, _: order.pay(at=LATER),
    "fail": lambda order, products: order.fail(DECLINED, products, at=LATER),
    "cancel": lambda order, _: order.cancel(at=LATER),
    "expire": lambda order, _: order.expire(at=LATER),
    "complete": lambda order, _: order.complete(at=LATER),
    "request_refund": lambda order, _: order.request_refund(at=LATER),
    "refund": lambda order, products: order.refund(products, at=LATER),
    "delete": lambda order, _: order.delete(at=LATER),
    "change_details": lambda order, _: order.change_details(OrderDetails(note="ring"), at=LATER),
    "refuse_change": lambda order, _: order.refuse_change("pay", job_id=JOB, code="no", reason="No.", at=LATER),
    "readdress": lambda order, _: order.change_details(OrderDetails(shipping_address=Address(city="Graz")), at=LATER),
}

# What each verb makes of an order: the status that it has then, and the type of the event.
ALLOWED: Mapping[tuple[str, OrderStatus], tuple[OrderStatus, str]] = {
    ("request_payment", S.PENDING): (S.PROCESSING, "order.payment_requested"),
    ("request_payment", S.FAILED): (S.PROCESSING, "order.payment_requested"),
    ("pay", S.PROCESSING): (S.PAID, "order.paid"),
    ("fail", S.PROCESSING): (S.FAILED, "order.failed"),
    ("cancel", S.PENDING): (S.CANCELLED, "order.cancelled"),
    ("expire", S.PENDING): (S.EXPIRED, "order.expired"),
    ("complete", S.PAID): (S.COMPLETED, "order.completed"),
    ("request_refund", S.PAID): (S.PAID, "order.refund_requested"),
    ("request_refund", S.COMPLETED): (S.COMPLETED, "order.refund_requested"),
    ("refund", S.PAID): (S.REFUNDED, "order.refunded"),
    ("refund", S.COMPLETED): (S.REFUNDED, "order.refunded"),
    ("delete", S.PENDING): (S.PENDING, "order.deleted"),
    ("delete", S.FAILED): (S.FAILED, "order.deleted"),
    ("delete", S.CANCELLED): (S.CANCELLED, "order.deleted"),
    ("delete", S.EXPIRED): (S.EXPIRED, "order.deleted"),
    **{("change_details", status): (status, "order.details_changed") for status in S},
    **{("refuse_change", status): (status, "order.change_refused") for status in S},
    ("readdress", S.PENDING): (S.PENDING, "order.details_changed"),
    ("readdress", S.PROCESSING): (S.PROCESSING, "order.details_changed"),
    ("readdress", S.PAID): (S.PAID, "order.details_changed"),
    ("readdress", S.FAILED): (S.FAILED, "order.details_changed"),
}


@pytest.mark.parametrize(("verb", "status"), ALLOWED)
def test_a_verb_that_is_allowed_makes_one_change_and_one_event(verb: str, status: OrderStatus) -> None:
    order, products = order_in(status)
    version = order.version

    event = VERBS[verb](order, products)

    assert (order.status, event.type) == ALLOWED[verb, status]
    assert (order.version, event.sequence) == (version + 1, version + 1)
    assert (order.updated_at, event.at) == (LATER, LATER)
    assert event.order_id == order.id


@pytest.mark.parametrize(("verb", "status"), sorted(set(pairs(VERBS, S)) - ALLOWED.keys()))
def test_a_verb_that_is_not_allowed_raises_and_changes_nothing(verb: str, status: OrderStatus) -> None:
    # An order that is PROCESSING has taken its stock here, so that it can't take it again.
    order, products = order_in(status)
    order_before, products_before = evolve(order), {id_: evolve(product) for id_, product in products.items()}

    with pytest.raises(IllegalTransition, match=status.value):
        VERBS[verb](order, products)

    assert (order, products) == (order_before, products_before)


def test_a_refused_transition_names_both_statuses() -> None:
    order, _ = order_in(S.EXPIRED)
    with pytest.raises(IllegalTransition, match=r"^EXPIRED cannot become PAID$"):
        order.pay(at=NOW)


def test_the_versions_of_an_order_are_the_sequence_numbers_of_its_events() -> None:
    order, first = placed()
    products = {ProductId(1): a_product()}
    events: list[Event] = [
        first,
        order.request_payment(PAYMENT, at=NOW),
        order.reserve_stock(products, at=NOW),
        order.fail(DECLINED, products, at=NOW),
        order.request_payment(PAYMENT, at=NOW),
        order.reserve_stock(products, at=NOW),
        order.pay(at=NOW),
        order.complete(at=NOW),
        order.request_refund(at=NOW),
        order.refund(products, at=NOW),
    ]
    assert [event.sequence for event in events] == list(range(1, 11))
    assert order.version == 10


def test_a_deleted_order_gets_no_other_details() -> None:
    order, _ = order_in(S.CANCELLED)
    order.delete(at=NOW)
    with pytest.raises(IllegalTransition, match="CANCELLED, and deleted"):
        order.change_details(OrderDetails(note="ring"), at=NOW)


def test_stock_is_taken_for_all_lines() -> None:
    order, products = an_order(a_line(1, quantity=2), a_line(2, quantity=3)), {1: a_product(1), 2: a_product(2)}
    order.request_payment(PAYMENT, at=NOW)
    order.reserve_stock(_by_id(products), at=NOW)
    assert (products[1].stock, products[2].stock, order.holds_stock) == (3, 2, True)


def test_stock_is_taken_for_no_line_when_one_of_them_is_short() -> None:
    order, products = an_order(a_line(1, quantity=2), a_line(2, quantity=6)), {1: a_product(1), 2: a_product(2)}
    order.request_payment(PAYMENT, at=NOW)
    before = evolve(order)

    with pytest.raises(OutOfStock, match=r"left of 2$"):
        order.reserve_stock(_by_id(products), at=NOW)

    assert (products[1].stock, products[2].stock) == (5, 5)
    assert order == before


@pytest.mark.parametrize("status", [S.PENDING, S.PAID, S.FAILED, S.CANCELLED])
def test_stock_is_taken_only_while_payment_is_processed(status: OrderStatus) -> None:
    order, products = order_in(status)
    with pytest.raises(IllegalTransition):
        order.reserve_stock(products, at=NOW)


def test_a_decline_gives_the_stock_back_once() -> None:
    order, products = order_in(S.PROCESSING)
    assert products[ProductId(1)].stock == 3
    order.fail(DECLINED, products, at=NOW)
    assert (products[ProductId(1)].stock, order.holds_stock) == (5, False)
    order.request_payment(PAYMENT, at=NOW)
    order.fail(FailureReason.OUT_OF_STOCK, products, at=NOW)
    assert products[ProductId(1)].stock == 5


def test_a_refund_gives_the_stock_back_once() -> None:
    order, products = order_in(S.PAID)
    order.refund(products, at=NOW)
    assert (products[ProductId(1)].stock, order.holds_stock) == (5, False)
    with pytest.raises(IllegalTransition):
        order.refund(products, at=NOW)
    assert products[ProductId(1)].stock == 5


def test_a_new_attempt_to_pay_clears_the_failure_reason() -> None:
    order, _ = order_in(S.FAILED)
    assert order.failure_reason is DECLINED
    order.request_payment(PAYMENT, at=NOW)
    assert order.failure_reason is None


def test_a_refund_is_asked_for_once() -> None:
    order, _ = order_in(S.PAID)
    order.request_refund(at=NOW)
    with pytest.raises(IllegalTransition, match="refund is already under way"):
        order.request_refund(at=NOW)


def test_an_order_with_a_refund_under_way_is_not_completed() -> None:
    order, _ = order_in(S.PAID)
    order.request_refund(at=NOW)
    with pytest.raises(IllegalTransition, match=r"PAID, with a refund under way, cannot become COMPLETED"):
        order.complete(at=NOW)
    assert order.status is S.PAID


def _by_id(products: Mapping[int, Product]) -> dict[ProductId, Product]:
    return {ProductId(number): product for number, product in products.items()}
