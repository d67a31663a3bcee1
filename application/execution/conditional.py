"""Changes that are made only if the order is as the caller expects it."""

from collections.abc import Callable
from typing import ClassVar

from attrs import frozen

from domain.errors import DomainError
from domain.ids import OrderId
from domain.orders.order import Order


class PreconditionFailed(DomainError):
    """The order is not as the caller expects it. Nothing was done."""

    code: ClassVar[str] = "precondition_failed"


@frozen
class OnlyIf:
    """A change of an order that is made only if `holds` is true of it. This is checked under the order's lock."""

    order_id: OrderId
    holds: Callable[[Order], bool]


# The order to be changed, with or without a condition.
OrderCall = OrderId | OnlyIf


def order_id_in(call: OrderCall) -> OrderId:
    return call.order_id if isinstance(call, OnlyIf) else call


def expect(call: OrderCall, order: Order) -> None:
    """Raise `PreconditionFailed` if the call has a condition that does not hold."""
    if isinstance(call, OnlyIf) and not call.holds(order):
        raise PreconditionFailed(f"order {order.id} is at version {order.version}: read it, and decide again")
