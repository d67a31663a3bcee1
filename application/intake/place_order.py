from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

from attrs import frozen

from application.execution.idempotency import Keyed, Outcome, once
from application.ports.environment import Clock, NewId
from application.ports.persistence import Transaction, UnitOfWork
from domain.catalogue.product import Product
from domain.errors import DomainError, UnknownProduct
from domain.ids import OrderId, ProductId, UserId
from domain.orders.events import OrderAccepted, OrderPlaced
from domain.orders.limits import expect_within_limits
from domain.orders.line import OrderLine
from domain.orders.order import Order


@frozen
class RequestedItem:
    """A product and its quantity."""

    product_id: ProductId
    quantity: int


@frozen
class OrderRequest:
    """A customer's request for an order."""

    user_id: UserId
    items: tuple[RequestedItem, ...]


@frozen
class NumberedRequest:
    """A request with the id and the time of its order.

    Both are set before anything is written. So the order is the same one, even if it is stored twice or in two ways.
    """

    order_id: OrderId
    at: datetime
    wanted: OrderRequest

    @property
    def product_ids(self) -> set[ProductId]:
        return {item.product_id for item in self.wanted.items}

    @property
    def quantities(self) -> list[int]:
        return [item.quantity for item in self.wanted.items]


@frozen
class NumberRequests:
    """Give a request its order id. A request under a key always gets the same id."""

    _new_id: NewId
    _now: Clock

    def __call__(self, call: OrderRequest | Keyed[OrderRequest]) -> NumberedRequest | Keyed[NumberedRequest]:
        if isinstance(call, Keyed):
            return Keyed(NumberedRequest(call.key.order_id, self._now(), call.call), call.key, call.fingerprint)
        return NumberedRequest(OrderId(self._new_id()), self._now(), call)


@frozen
class PlaceOrder:
    """Turn requests into orders, all in one transaction. The refusal of one request does not affect the others.

    A request under a key becomes one order, however often it is repeated.
    """

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self, requests: Sequence[NumberedRequest | Keyed[NumberedRequest]]) -> Sequence[Outcome]:
        async with self._unit_of_work() as tx:
            return await once(tx, requests, partial(self._place_all, tx), now=self._now)

    async def _place_all(self, tx: Transaction, requests: Sequence[NumberedRequest]) -> list[Order | DomainError]:
        outcomes: list[Order | DomainError] = []
        placed: list[tuple[Order, OrderPlaced]] = []
        products = await tx.products.get_many({id_ for request in requests for id_ in request.product_ids})
        for request in requests:
            try:
                expect_within_limits(request.quantities)
                order, event = price_order(request, products)
            except DomainError as error:
                outcomes.append(error)
            else:
                outcomes.append(order)
                placed.append((order, event))
        await record(tx, placed)
        return outcomes


def price_order(request: NumberedRequest, products: Mapping[ProductId, Product]) -> tuple[Order, OrderPlaced]:
    """Return the order at the prices of these products, and its first event. Raise a `DomainError`."""
    return Order.place(
        order_id=request.order_id,
        user_id=request.wanted.user_id,
        lines=_price(request.wanted.items, products),
        at=request.at,
    )


def wanted_in(order: Order | OrderAccepted) -> OrderRequest:
    """Return the request that the order was made from."""
    return OrderRequest(order.user_id, tuple(RequestedItem(line.product_id, line.quantity) for line in order.lines))


async def record(tx: Transaction, placed: Iterable[tuple[Order, OrderPlaced]]) -> None:
    """Write orders and their first events into the database."""
    placed = list(placed)
    await tx.orders.add_many([order for order, _ in placed])
    await tx.events.add_many([event for _, event in placed])


def _price(items: Sequence[RequestedItem], products: Mapping[ProductId, Product]) -> list[OrderLine]:
    """Raise `UnknownProduct`."""
    try:
        return [
            OrderLine(product_id=item.product_id, quantity=item.quantity, unit_price=products[item.product_id].price)
            for item in items
        ]
    except KeyError:
        first, *others = [
            UnknownProduct(f"there is no product {item.product_id}", field=f"items[{index}].product_id")
            for index, item in enumerate(items)
            if item.product_id not in products
        ]
        raise UnknownProduct(str(first), field=first.field, others=others) from None
