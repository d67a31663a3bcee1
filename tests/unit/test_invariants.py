"""The consistency checks that other tests rely on find each kind of damage."""

from attrs import evolve

from domain.ids import OrderId, ProductId
from domain.orders.status import OrderStatus
from tests.invariants import LedgerCharge, history_findings, money_findings, stock_findings
from tests.unit.builders import PAYMENT, a_product, order_in, placed

PEN = ProductId(1)
CHARGE = LedgerCharge(PAYMENT, 2500, refunded=False)


def test_whole_stock_has_no_findings() -> None:
    order, products = order_in(OrderStatus.PAID)
    assert stock_findings(products.values(), [order], {PEN: 5}) == []


def test_a_unit_that_leaked_is_found() -> None:
    order, products = order_in(OrderStatus.PAID)
    assert stock_findings(products.values(), [order], {PEN: 6}) == ["product 1: 3 left and 2 held make no 6 counted in"]


def test_stock_given_back_twice_is_found() -> None:
    order, _ = order_in(OrderStatus.REFUNDED)
    assert len(stock_findings([a_product(stock=7)], [order], {PEN: 5})) == 1


def test_money_of_kept_orders_is_taken_once() -> None:
    order, _ = order_in(OrderStatus.PAID)
    assert money_findings([order], [CHARGE]) == []
    assert len(money_findings([order], [])) == 1
    assert len(money_findings([order], [CHARGE, CHARGE])) == 1
    assert len(money_findings([order], [evolve(CHARGE, minor=2499)])) == 1
    assert len(money_findings([order], [evolve(CHARGE, refunded=True)])) == 1


def test_money_of_any_other_order_is_given_back() -> None:
    for status in (OrderStatus.FAILED, OrderStatus.REFUNDED):
        order, _ = order_in(status)
        assert len(money_findings([order], [CHARGE])) == 1
        assert money_findings([order], [evolve(CHARGE, refunded=True)]) == []


def test_a_charge_of_no_order_is_found() -> None:
    assert len(money_findings([], [CHARGE])) == 1


def test_the_charge_of_an_order_under_way_may_or_may_not_be_there() -> None:
    order, _ = order_in(OrderStatus.PROCESSING)
    assert money_findings([order], [CHARGE]) == money_findings([order], []) == []


def test_a_gap_in_a_history_is_found() -> None:
    order, event = placed()
    assert history_findings([order], [event]) == []
    assert len(history_findings([order], [])) == 1
    assert len(history_findings([order], [event, event])) == 1
    assert len(history_findings([evolve(order, id=OrderId(PAYMENT))], [event])) == 1
