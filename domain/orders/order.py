from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import define, field, setters
from attrs.validators import ge, min_len

from domain.catalogue.product import Product
from domain.errors import CurrencyMismatch, IllegalTransition, InvalidOrder, OutOfStock
from domain.ids import CustomerId, JobId, OrderId, PaymentId, ProductId, is_customer_id, payment_after
from domain.money import Money
from domain.orders.details import NO_DETAILS, OrderDetails
from domain.orders.events import (
    OrderCancelled,
    OrderChangeRefused,
    OrderCompleted,
    OrderDeleted,
    OrderDetailsChanged,
    OrderExpired,
    OrderFailed,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    PaymentRequested,
    RefundRequested,
    StockReserved,
)
from domain.orders.line import OrderLine
from domain.orders.status import (
    HAS_A_PAYMENT,
    HAS_MONEY,
    LIFE,
    MAY_CHANGE_ADDRESS,
    WAITS_FOR_WORKER,
    FailureReason,
    OrderStatus,
)
from domain.payments.payment import PaymentStatus

_MAY_BE_REFUNDED: Final = {PaymentStatus.CHARGED, PaymentStatus.REFUNDED}


@define(kw_only=True)
class Order:
    """What a customer agreed to buy, and how far payment has got.

    Every change adds one to `version` and returns the event that carries it as its sequence number. `request_id` is
    that of the request that caused the change, for its event.
    """

    id: OrderId = field(on_setattr=setters.frozen)
    user_id: CustomerId = field(validator=is_customer_id, on_setattr=setters.frozen)
    lines: tuple[OrderLine, ...] = field(validator=min_len(1), on_setattr=setters.frozen)
    total: Money = field(on_setattr=setters.frozen)
    status: OrderStatus = OrderStatus.PENDING
    failure_reason: FailureReason | None = None
    payment_id: PaymentId | None = None
    holds_stock: bool = False
    refund_requested: bool = False
    deleted: bool = False
    # The products of which too few units were left, if the last payment failed for that reason.
    out_of_stock: tuple[ProductId, ...] = ()
    # Most orders have none.
    details: OrderDetails | None = None
    version: int = field(default=0, validator=ge(0))
    created_at: datetime = field(on_setattr=setters.frozen)
    updated_at: datetime

    @lines.validator
    def _name_each_product_once(self, _: object, lines: tuple[OrderLine, ...]) -> None:
        if len({line.product_id for line in lines}) < len(lines):
            raise InvalidOrder("each product may be in one item only; add up its quantities", field="items")

    @total.validator
    def _is_the_sum_of_the_lines(self, _: object, total: Money) -> None:
        if total != total_of(self.lines):
            raise InvalidOrder(f"the total of order {self.id} is not the sum of its lines")

    def __attrs_post_init__(self) -> None:
        """Raise `InvalidOrder` for what no verb leads to."""
        rule = LIFE[self.status]
        if (self.payment_id is None) is not (rule.payment is None):
            raise InvalidOrder(
                f"order {self.id} is {self.status.value} and has {'no' if rule.payment else 'a'} payment"
            )
        if self.holds_stock and not rule.may_hold_stock:
            raise InvalidOrder(f"order {self.id} is {self.status.value} and holds stock")
        if rule.payment is PaymentStatus.CHARGED and not self.holds_stock:
            raise InvalidOrder(f"order {self.id} is {self.status.value} and does not hold its stock")
        if self.refund_requested and rule.payment not in _MAY_BE_REFUNDED:
            raise InvalidOrder(f"order {self.id} is {self.status.value} and a refund was requested")
        if self.deleted and self.status in HAS_A_PAYMENT:
            raise InvalidOrder(f"order {self.id} is {self.status.value} and deleted")
        if (self.failure_reason is None) is (self.status is OrderStatus.FAILED):
            has = "no" if self.failure_reason is None else "a"
            raise InvalidOrder(f"order {self.id} is {self.status.value} and has {has} failure reason")

    @classmethod
    def place(  # noqa: PLR0913 - what an order begins with
        cls,
        *,
        order_id: OrderId,
        user_id: CustomerId,
        lines: Sequence[OrderLine],
        details: OrderDetails | None = None,
        at: datetime,
        request_id: str | None = None,
    ) -> "tuple[Order, OrderPlaced]":
        """Begin an order. Raise `InvalidOrder`, `CurrencyMismatch` or `InvalidAmount`."""
        if not lines:
            raise InvalidOrder("an order has items", field="items")
        order = cls(
            id=order_id,
            user_id=user_id,
            lines=tuple(lines),
            total=total_of(lines),
            details=details,
            version=1,
            created_at=at,
            updated_at=at,
        )
        placed = OrderPlaced(
            order_id=order.id,
            sequence=order.version,
            at=at,
            request_id=request_id,
            user_id=user_id,
            lines=order.lines,
            total=order.total,
            details=details,
        )
        return order, placed

    @property
    def is_paid_or_being_paid(self) -> bool:
        """A new request for payment would change nothing."""
        return self.status in WAITS_FOR_WORKER | HAS_MONEY

    @property
    def payment(self) -> PaymentId:
        """The id of the last payment that was requested. Raise `InvalidOrder` when there was none."""
        if self.payment_id is None:
            raise InvalidOrder(f"order {self.id} is {self.status.value} and has no payment")
        return self.payment_id

    @property
    def next_payment(self) -> PaymentId:
        """The id of the payment that is requested next."""
        return payment_after(self.payment_id, self.id)

    @property
    def charge_is_due(self) -> bool:
        """The total is to be charged under `payment_id`. A later read may find that it has been."""
        return self.status in WAITS_FOR_WORKER

    @property
    def refund_is_due(self) -> bool:
        """The charge under `payment_id` is to be refunded. A requested refund is never withdrawn."""
        return self.refund_requested and self.status in HAS_MONEY

    def request_payment(
        self, payment_id: PaymentId, *, at: datetime, request_id: str | None = None
    ) -> PaymentRequested:
        self._become(OrderStatus.PROCESSING)
        self.payment_id = payment_id
        self.failure_reason = None
        self.out_of_stock = ()
        sequence = self._change(at)
        return PaymentRequested(
            order_id=self.id, sequence=sequence, at=at, request_id=request_id, payment_id=payment_id, amount=self.total
        )

    def reserve_stock(
        self, products: Mapping[ProductId, Product], *, at: datetime, request_id: str | None = None
    ) -> StockReserved:
        """Take the units of every line, or of none. Raise `OutOfStock`."""
        if self.status is not OrderStatus.PROCESSING or self.holds_stock:
            raise IllegalTransition(f"order {self.id} is {self.status.value} and can't reserve stock now")
        short = [line.product_id for line in self.lines if products[line.product_id].stock < line.quantity]
        if short:
            raise OutOfStock(f"too few units are left of {', '.join(map(str, short))}", products=short)
        for line in self.lines:
            products[line.product_id].take(line.quantity)
        self.holds_stock = True
        return StockReserved(order_id=self.id, sequence=self._change(at), at=at, request_id=request_id)

    def pay(self, *, at: datetime, asked_at: datetime | None = None, request_id: str | None = None) -> OrderPaid:
        """Raise `IllegalTransition` when the order doesn't hold its stock."""
        self._expect(OrderStatus.PAID)
        if not self.holds_stock:
            raise IllegalTransition(f"{self.status.value}, without its stock, cannot become PAID")
        self._become(OrderStatus.PAID)
        sequence = self._change(at)
        return OrderPaid(
            order_id=self.id,
            sequence=sequence,
            at=at,
            request_id=request_id,
            payment_id=self.payment,
            amount=self.total,
            asked_at=asked_at,
        )

    def fail(  # noqa: PLR0913 - all that is known of a failure
        self,
        reason: FailureReason,
        products: Mapping[ProductId, Product],
        *,
        at: datetime,
        request_id: str | None = None,
        out_of_stock: Sequence[ProductId] = (),
        asked_at: datetime | None = None,
    ) -> OrderFailed:
        """Record that the payment failed, and return the stock that the order holds."""
        self._become(OrderStatus.FAILED)
        self.failure_reason = reason
        self.out_of_stock = tuple(out_of_stock)
        self._give_back_stock(products)
        return OrderFailed(
            order_id=self.id,
            sequence=self._change(at),
            at=at,
            request_id=request_id,
            payment_id=self.payment,
            reason=reason,
            out_of_stock=self.out_of_stock,
            asked_at=asked_at,
        )

    def cancel(self, *, at: datetime, request_id: str | None = None) -> OrderCancelled:
        self._become(OrderStatus.CANCELLED)
        return OrderCancelled(order_id=self.id, sequence=self._change(at), at=at, request_id=request_id)

    def expire(self, *, at: datetime, request_id: str | None = None) -> OrderExpired:
        self._become(OrderStatus.EXPIRED)
        return OrderExpired(order_id=self.id, sequence=self._change(at), at=at, request_id=request_id)

    def complete(self, *, at: datetime, request_id: str | None = None) -> OrderCompleted:
        self._expect(OrderStatus.COMPLETED)
        if self.refund_requested:
            raise IllegalTransition(f"{self.status.value}, with a refund under way, cannot become COMPLETED")
        self._become(OrderStatus.COMPLETED)
        return OrderCompleted(order_id=self.id, sequence=self._change(at), at=at, request_id=request_id)

    def request_refund(self, *, at: datetime, request_id: str | None = None) -> RefundRequested:
        self._expect(OrderStatus.REFUNDED)
        if self.refund_requested:
            raise IllegalTransition(f"{self.status.value}, a refund is already under way")
        self.refund_requested = True
        sequence = self._change(at)
        return RefundRequested(
            order_id=self.id,
            sequence=sequence,
            at=at,
            request_id=request_id,
            payment_id=self.payment,
            amount=self.total,
        )

    def refund(
        self,
        products: Mapping[ProductId, Product],
        *,
        at: datetime,
        asked_at: datetime | None = None,
        request_id: str | None = None,
    ) -> OrderRefunded:
        """Record that the money was given back, and return the stock that the order holds."""
        self._become(OrderStatus.REFUNDED)
        self._give_back_stock(products)
        sequence = self._change(at)
        return OrderRefunded(
            order_id=self.id,
            sequence=sequence,
            at=at,
            request_id=request_id,
            payment_id=self.payment,
            amount=self.total,
            asked_at=asked_at,
        )

    def change_details(
        self, details: OrderDetails | None, *, at: datetime, request_id: str | None = None
    ) -> OrderDetailsChanged:
        """Raise `IllegalTransition` for a deleted order, and for another address once it is too late for that."""
        if self.deleted:
            raise IllegalTransition(f"{self.status.value}, and deleted, cannot be changed")
        is_readdressed = (details or NO_DETAILS).addresses != (self.details or NO_DETAILS).addresses
        if is_readdressed and self.status not in MAY_CHANGE_ADDRESS:
            raise IllegalTransition(f"{self.status.value} cannot get another address any more")
        self.details = details
        return OrderDetailsChanged(
            order_id=self.id, sequence=self._change(at), at=at, request_id=request_id, details=details
        )

    def refuse_change(  # noqa: PLR0913 - what the event tells
        self, change: str, *, job_id: JobId, code: str, reason: str, at: datetime, request_id: str | None = None
    ) -> OrderChangeRefused:
        """Tell of a change that the rules refused when its time had come. Raise `IllegalTransition` if deleted."""
        if self.deleted:
            raise IllegalTransition(f"{self.status.value}, and deleted, cannot be changed")
        return OrderChangeRefused(
            order_id=self.id,
            sequence=self._change(at),
            at=at,
            request_id=request_id,
            job_id=job_id,
            change=change,
            code=code,
            reason=reason,
        )

    def delete(self, *, at: datetime, request_id: str | None = None) -> OrderDeleted:
        """Raise `IllegalTransition` when the order was paid for, or is being paid for."""
        if self.deleted:
            raise IllegalTransition(f"{self.status.value}, and deleted, cannot be deleted again")
        if self.status in HAS_A_PAYMENT:
            raise IllegalTransition(f"{self.status.value} cannot be deleted: only an order never paid for can")
        self.deleted = True
        return OrderDeleted(order_id=self.id, sequence=self._change(at), at=at, request_id=request_id)

    def _become(self, status: OrderStatus) -> None:
        self._expect(status)
        self.status = status

    def _expect(self, status: OrderStatus) -> None:
        if self.deleted:
            raise IllegalTransition(f"{self.status.value}, and deleted, cannot become {status.value}")
        if status not in LIFE[self.status].next:
            raise IllegalTransition(f"{self.status.value} cannot become {status.value}")

    def _change(self, at: datetime) -> int:
        self.version += 1
        self.updated_at = at
        return self.version

    def _give_back_stock(self, products: Mapping[ProductId, Product]) -> None:
        if self.holds_stock:
            for line in self.lines:
                products[line.product_id].give_back(line.quantity)
        self.holds_stock = False


def total_of(lines: Sequence[OrderLine]) -> Money:
    """Raise `CurrencyMismatch` or `InvalidAmount`."""
    currency, minor = lines[0].unit_price.currency, 0
    for line in lines:
        price = line.unit_price
        if price.currency != currency:
            raise CurrencyMismatch(
                f"the items of an order have one currency: {currency} and {price.currency} can't be added",
                field="items",
            )
        minor += price.minor * line.quantity
    return Money(minor, currency)
