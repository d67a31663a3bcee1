"""The statuses of an order, which may follow which, and what each one means."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from attrs import frozen

from domain.payments.payment import PaymentStatus


class OrderStatus(StrEnum):
    """Where an order stands."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    PAID = "PAID"
    FAILED = "FAILED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    REFUNDED = "REFUNDED"


class FailureReason(StrEnum):
    """Why a payment failed."""

    OUT_OF_STOCK = "out_of_stock"
    PAYMENT_DECLINED = "payment_declined"


@frozen(kw_only=True)
class StatusRule:
    """What one status means. `payment` is the status that the order's payment has meanwhile.

    An order has the id of a payment where `payment` is not None, and holds its stock where the money was taken.
    """

    next: frozenset[OrderStatus] = frozenset()
    payment: PaymentStatus | None = None
    may_hold_stock: bool = False
    # Nothing has been sent yet, and something may be.
    may_change_address: bool = False
    set_by_hand: bool = False


# The whole life of an order. The sets below and the constraints of the SQL tables are derived from this table.
LIFE: Final[Mapping[OrderStatus, StatusRule]] = MappingProxyType(
    {
        OrderStatus.PENDING: StatusRule(
            next=frozenset({OrderStatus.PROCESSING, OrderStatus.CANCELLED, OrderStatus.EXPIRED}),
            may_change_address=True,
        ),
        OrderStatus.PROCESSING: StatusRule(
            next=frozenset({OrderStatus.PAID, OrderStatus.FAILED}),
            payment=PaymentStatus.REQUESTED,
            may_hold_stock=True,
            may_change_address=True,
        ),
        OrderStatus.PAID: StatusRule(
            next=frozenset({OrderStatus.COMPLETED, OrderStatus.REFUNDED}),
            payment=PaymentStatus.CHARGED,
            may_hold_stock=True,
            may_change_address=True,
        ),
        OrderStatus.FAILED: StatusRule(
            next=frozenset({OrderStatus.PROCESSING}), payment=PaymentStatus.FAILED, may_change_address=True
        ),
        OrderStatus.COMPLETED: StatusRule(
            next=frozenset({OrderStatus.REFUNDED}), payment=PaymentStatus.CHARGED, may_hold_stock=True, set_by_hand=True
        ),
        OrderStatus.CANCELLED: StatusRule(set_by_hand=True),
        OrderStatus.EXPIRED: StatusRule(),
        OrderStatus.REFUNDED: StatusRule(payment=PaymentStatus.REFUNDED, set_by_hand=True),
    }
)


def _where(holds: Callable[[StatusRule], bool]) -> frozenset[OrderStatus]:
    return frozenset(status for status, rule in LIFE.items() if holds(rule))


# A worker has to process these.
WAITS_FOR_WORKER: Final = _where(lambda rule: rule.payment is PaymentStatus.REQUESTED)
# The provider has the money for these.
HAS_MONEY: Final = _where(lambda rule: rule.payment is PaymentStatus.CHARGED)
# Money is, was, or may yet be taken for these, so they can't be deleted.
HAS_A_PAYMENT: Final = _where(lambda rule: rule.payment not in {None, PaymentStatus.FAILED})
MAY_BE_PAID: Final = _where(lambda rule: OrderStatus.PROCESSING in rule.next)
# Nobody has asked for payment, and nobody may in the end.
MAY_EXPIRE: Final = _where(lambda rule: OrderStatus.EXPIRED in rule.next)
MAY_HOLD_STOCK: Final = _where(lambda rule: rule.may_hold_stock)
MAY_CHANGE_ADDRESS: Final = _where(lambda rule: rule.may_change_address)
SET_BY_HAND: Final = _where(lambda rule: rule.set_by_hand)
