import contextlib

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from domain.errors import IllegalTransition, OutOfStock
from domain.ids import ProductId
from domain.orders.order import Order
from domain.orders.status import FailureReason
from tests.invariants import stock_findings
from tests.unit.builders import NOW, PAYMENT, a_line, a_product, an_order

REASONS = st.sampled_from(FailureReason)


class StockOfAShop(RuleBasedStateMachine):
    """Whatever verbs come in whatever order: each unit is left, or held by exactly one order."""

    orders = Bundle("orders")

    def __init__(self) -> None:
        super().__init__()
        self.products = {ProductId(number): a_product(number, stock=5) for number in (1, 2)}
        self.counted_in = dict.fromkeys(self.products, 5)
        self.placed: list[Order] = []

    @rule(target=orders, quantities=st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(any))
    def place(self, quantities: tuple[int, int]) -> Order:
        lines = [a_line(number, quantity=quantity) for number, quantity in enumerate(quantities, start=1) if quantity]
        order = an_order(*lines, number=len(self.placed) + 1)
        self.placed.append(order)
        return order

    @rule(order=orders)
    def request_payment_and_reserve(self, order: Order) -> None:
        try:
            order.request_payment(PAYMENT, at=NOW)
            order.reserve_stock(self.products, at=NOW)
        except OutOfStock:
            order.fail(FailureReason.OUT_OF_STOCK, self.products, at=NOW)
        except IllegalTransition:
            pass

    @rule(order=orders)
    def reserve_again(self, order: Order) -> None:
        with contextlib.suppress(IllegalTransition, OutOfStock):
            order.reserve_stock(self.products, at=NOW)

    @rule(order=orders, verb=st.sampled_from(["pay", "cancel", "expire", "complete", "request_refund"]))
    def go_on(self, order: Order, verb: str) -> None:
        with contextlib.suppress(IllegalTransition):
            getattr(order, verb)(at=NOW)

    @rule(order=orders, reason=REASONS)
    def fail(self, order: Order, reason: FailureReason) -> None:
        with contextlib.suppress(IllegalTransition):
            order.fail(reason, self.products, at=NOW)

    @rule(order=orders)
    def refund(self, order: Order) -> None:
        with contextlib.suppress(IllegalTransition):
            order.refund(self.products, at=NOW)

    @rule(order=consumes(orders))
    def delete(self, order: Order) -> None:
        with contextlib.suppress(IllegalTransition):
            order.delete(at=NOW)

    @rule(number=st.sampled_from([1, 2]), change=st.integers(-3, 3))
    def adjust(self, number: int, change: int) -> None:
        try:
            self.products[ProductId(number)].adjust(change)
        except OutOfStock:
            return
        self.counted_in[ProductId(number)] += change

    @invariant()
    def each_unit_is_left_or_held(self) -> None:
        assert stock_findings(self.products.values(), self.placed, self.counted_in) == []


StockOfAShop.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None, database=None)
test_no_order_of_verbs_loses_a_unit_or_sells_one_twice = StockOfAShop.TestCase
