"""Changes that are made only if the order is as the caller expects it."""

from collections.abc import Callable
from typing import ClassVar

from attrs import frozen

from application.ports.audit import Caller
from domain.errors import DomainError, UnknownOrder
from domain.ids import CustomerId, OrderId
from domain.orders.order import Order


def always(_: Order) -> bool:
    return True


class PreconditionFailed(DomainError):
    """The order is not as the caller expects it. Nothing was done."""

    code: ClassVar[str] = "precondition_failed"


@frozen
class OnlyIf:
    """A call that concerns an order only if `holds` is true of it. For a change, this is checked under its lock.

    With an `owner`, the order of any other customer does not exist for this call.
    """

    order_id: OrderId
    holds: Callable[[Order], bool] = always
    owner: CustomerId | None = None
    # Who asked, for the event and the audit. The service itself if it is None.
    by: Caller | None = None

    @property
    def is_guarded(self) -> bool:
        """Whether there is a condition."""
        return self.holds is not always


# The order that a call concerns, with or without a condition.
OrderCall = OrderId | OnlyIf


def order_id_in(call: OrderCall) -> OrderId:
    return call.order_id if isinstance(call, OnlyIf) else call


def request_id_in(call: OrderCall) -> str | None:
    """Return the id of the request that asked for the change."""
    return (call.by.request_id or None) if isinstance(call, OnlyIf) and call.by is not None else None


def is_for(call: OrderCall, order: Order) -> bool:
    """Return whether the order exists for this call."""
    return not isinstance(call, OnlyIf) or call.owner is None or call.owner == order.user_id


def expect(call: OrderCall, order: Order) -> None:
    """Raise `UnknownOrder` for another customer's order, `PreconditionFailed` if a condition does not hold."""
    if not is_for(call, order):
        raise UnknownOrder(f"there is no order {order.id}")
    if isinstance(call, OnlyIf) and not call.holds(order):
        raise PreconditionFailed(f"order {order.id} is at version {order.version}: read it, and decide again")
