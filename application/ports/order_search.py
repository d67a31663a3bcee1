"""What orders are searched for by, and the part of them that one page looks at."""

from datetime import datetime
from typing import Final

from attrs import field, frozen

from application.ports.broken import BrokenOrder
from domain.ids import CustomerId, OrderId, ProductId
from domain.orders.details import NO_DETAILS
from domain.orders.order import Order
from domain.orders.status import OrderStatus

# Orders that one page looks at, so that the time of a page has a bound, whatever it searches for.
STRETCH: Final = 2000


def _lowered(email: str | None) -> str | None:
    return email and email.lower()


@frozen(kw_only=True)
class OrderFilter:
    """All that is given must hold. Of several statuses or products one is enough.

    An order was placed at or after `placed_after`, and before `placed_before`. Totals are in minor units.
    """

    order_id: OrderId | None = None
    external_id: str | None = None
    # In any case.
    email: str | None = field(default=None, converter=_lowered)
    user_id: CustomerId | None = None
    statuses: frozenset[OrderStatus] = frozenset()
    product_ids: frozenset[ProductId] = frozenset()
    placed_after: datetime | None = None
    placed_before: datetime | None = None
    total_min: int | None = None
    total_max: int | None = None

    @property
    def leading(self) -> str | None:
        """The condition whose orders a page looks at, newest first. None: all orders of the time.

        There is an index for each, with the time in it. The other conditions choose among the orders of this one.
        """
        if self.order_id is not None:
            return "order_id"
        if self.external_id is not None:
            return "external_id"
        if self.email is not None:
            return "email"
        if self.user_id is not None:
            return "user_id"
        return "statuses" if len(self.statuses) == 1 else None

    def leads_to(self, order: Order) -> bool:
        """Whether a page looks at this order at all, without regard to where it begins and ends."""
        match self.leading:
            case "order_id":
                is_led_to = order.id == self.order_id
            case "external_id":
                is_led_to = (order.details or NO_DETAILS).external_id == self.external_id
            case "email":
                is_led_to = _email(order) == self.email
            case "user_id":
                is_led_to = order.user_id == self.user_id
            case "statuses":
                is_led_to = order.status in self.statuses
            case _:
                is_led_to = True
        return is_led_to and not order.deleted and self._is_of_the_time(order)

    def matches(self, order: Order) -> bool:
        details = order.details or NO_DETAILS
        return (
            self.leads_to(order)
            and self.external_id in {None, details.external_id}
            and self.email in {None, _email(order)}
            and self.user_id in {None, order.user_id}
            and (not self.statuses or order.status in self.statuses)
            and (not self.product_ids or not self.product_ids.isdisjoint(line.product_id for line in order.lines))
            and (self.total_min is None or order.total.minor >= self.total_min)
            and (self.total_max is None or order.total.minor <= self.total_max)
        )

    def _is_of_the_time(self, order: Order) -> bool:
        return (self.placed_after is None or order.created_at >= self.placed_after) and (
            self.placed_before is None or order.created_at < self.placed_before
        )


@frozen
class OrdersFound:
    """Some of the orders that were searched for, newest first, also those that are broken.

    `looked_to` is the last order that was looked at, if there are older ones that were not. The search can go on there.
    """

    orders: list[Order | BrokenOrder]
    looked_to: OrderId | None = None


@frozen
class IdsFound:
    """The ids alone, as in `OrdersFound`."""

    ids: list[OrderId]
    looked_to: OrderId | None = None


def _email(order: Order) -> str | None:
    return _lowered((order.details or NO_DETAILS).email)
