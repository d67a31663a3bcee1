"""What a customer asks for, and whether an order was made from it."""

from collections.abc import Iterable
from datetime import datetime

from attrs import define, field, frozen

from application.execution.idempotency import Keyed
from application.execution.working_for import request_id
from application.ports.environment import Clock, NewId
from domain.ids import CustomerId, OrderId, ProductId, first_payment_of
from domain.money import Money
from domain.orders.details import NO_DETAILS, OrderDetails
from domain.orders.events import OrderAccepted
from domain.orders.line import OrderLine
from domain.orders.order import Order


@frozen
class RequestedItem:
    """A product and its quantity, and the price that the customer was shown, if that is to be kept to."""

    product_id: ProductId
    quantity: int
    # An amount alone is in minor units of the currency that the product has.
    unit_price: Money | int | None = None

    def was_shown(self, price: Money) -> bool:
        """Whether this is the price that the customer was shown, or she need not have been shown one."""
        return self.unit_price is None or self.unit_price in (price, price.minor)


@frozen
class OrderRequest:
    """A customer's request for an order, and with `pay` for its payment as well. The same product may come twice."""

    user_id: CustomerId
    items: tuple[RequestedItem, ...]
    pay: bool = False
    details: OrderDetails | None = None


@define(eq=False)
class Quote:
    """The lines at the prices that were found first, for every attempt to store one order."""

    lines: tuple[OrderLine, ...] | None = None


@frozen
class NumberedRequest:
    """A request with the id, the time and the quote of its order.

    They are set before anything is written. So the order is the same one, even if it is stored twice or in two ways,
    and a price changes meanwhile.
    """

    order_id: OrderId
    at: datetime
    wanted: OrderRequest
    quote: Quote = field(factory=Quote, eq=False)
    # An earlier request under its key may have left the order in the intake queue.
    may_be_queued: bool = field(default=False, eq=False)
    # The id of the HTTP request, for the events of the order.
    request_id: str | None = field(default=None, eq=False)

    @property
    def product_ids(self) -> set[ProductId]:
        return {item.product_id for item in self.wanted.items}

    @property
    def quantities(self) -> list[tuple[ProductId, int]]:
        return [(item.product_id, item.quantity) for item in self.wanted.items]


@frozen
class NumberRequests:
    """Give a request its order id. A request under a key always gets the same id."""

    _new_id: NewId
    _now: Clock
    # Whether orders may be queued.
    _queues: bool = False

    def __call__(self, call: OrderRequest | Keyed[OrderRequest]) -> NumberedRequest | Keyed[NumberedRequest]:
        if isinstance(call, Keyed):
            request = NumberedRequest(
                call.key.order_id, self._now(), call.call, may_be_queued=self._queues, request_id=request_id()
            )
            return Keyed(request, call.key, call.fingerprint)
        return NumberedRequest(OrderId(self._new_id()), self._now(), call, request_id=request_id())


def numbered_in(event: OrderAccepted) -> NumberedRequest:
    """Return the request that was accepted."""
    items = tuple(RequestedItem(line.product_id, line.quantity) for line in event.lines)
    wanted = OrderRequest(event.user_id, items, event.pay, event.details)
    return NumberedRequest(event.order_id, event.at, wanted, request_id=event.request_id)


def asked_to_pay(order: Order) -> bool | None:
    """Whether its payment was requested together with it. None: that can't be told, since it was requested again."""
    return None if order.payment_id not in {None, first_payment_of(order.id)} else order.payment_id is not None


def is_made_of(wanted: OrderRequest, order: Order) -> bool | None:
    """Whether the order was made from a request like this one. None: its details may have changed since."""
    is_alike = (
        order.user_id == wanted.user_id
        and units(order.lines) == units(wanted.items)
        and asked_to_pay(order) in {None, wanted.pay}
        and _is_at_the_prices_of(wanted, order)
    )
    if not is_alike or order.details == wanted.details:
        return is_alike
    now, then = order.details or NO_DETAILS, wanted.details or NO_DETAILS
    is_new = order.version == (2 if wanted.pay else 1)
    kept = (now.external_id, now.email, now.payment_method) == (then.external_id, then.email, then.payment_method)
    return None if kept and not is_new else False


def _is_at_the_prices_of(wanted: OrderRequest, order: Order) -> bool:
    prices = {line.product_id: line.unit_price for line in order.lines}
    return all(item.unit_price is None or item.was_shown(prices[item.product_id]) for item in wanted.items)


def units(items: Iterable[RequestedItem | OrderLine]) -> list[tuple[ProductId, int]]:
    """The products in the order in which they first come, each with its quantities added up."""
    units: dict[ProductId, int] = {}
    for item in items:
        units[item.product_id] = units.get(item.product_id, 0) + item.quantity
    return list(units.items())
