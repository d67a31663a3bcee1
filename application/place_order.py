from collections.abc import Mapping, Sequence
from functools import partial

from attrs import frozen

from application.once import Keyed, Outcome, once
from application.ports import Clock, NewId, Transaction, UnitOfWork
from domain.errors import DomainError, InvalidOrder, UnknownProduct
from domain.events import OrderPlaced
from domain.ids import OrderId, ProductId, UserId
from domain.order import Order, place_order
from domain.order_line import MAX_QUANTITY, OrderLine
from domain.product import Product


@frozen
class RequestedItem:
    """How many of which product."""

    product_id: ProductId
    quantity: int


@frozen
class OrderRequest:
    """What a customer wants to order."""

    user_id: UserId
    items: tuple[RequestedItem, ...]


@frozen
class PlaceOrder:
    """Turn requests into orders, all in one transaction; refuse alone what must be refused.

    A request under a key becomes one order, however often it is made.
    """

    _unit_of_work: UnitOfWork
    _new_id: NewId
    _now: Clock

    async def __call__(self, requests: Sequence[OrderRequest | Keyed[OrderRequest]]) -> Sequence[Outcome]:
        async with self._unit_of_work() as tx:
            return await once(tx, requests, partial(self._place_all, tx), now=self._now)

    async def _place_all(self, tx: Transaction, requests: Sequence[OrderRequest]) -> list[Order | DomainError]:
        outcomes: list[Order | DomainError] = []
        placed: list[tuple[Order, OrderPlaced]] = []
        products = await tx.products.get_many({item.product_id for request in requests for item in request.items})
        for request in requests:
            try:
                order, event = self._place(request, products)
            except DomainError as error:
                outcomes.append(error)
            else:
                outcomes.append(order)
                placed.append((order, event))
        await tx.orders.add_many([order for order, _ in placed])
        await tx.events.add_many([event for _, event in placed])
        return outcomes

    def _place(self, request: OrderRequest, products: Mapping[ProductId, Product]) -> tuple[Order, OrderPlaced]:
        return place_order(
            order_id=OrderId(self._new_id()),
            user_id=request.user_id,
            lines=[_price(item, products, f"items[{index}]") for index, item in enumerate(request.items)],
            at=self._now(),
        )


def _price(item: RequestedItem, products: Mapping[ProductId, Product], field: str) -> OrderLine:
    product = products.get(item.product_id)
    if product is None:
        raise UnknownProduct(f"there is no product {item.product_id}", field=f"{field}.product_id")
    if not 1 <= item.quantity <= MAX_QUANTITY:
        raise InvalidOrder(f"a quantity is between 1 and {MAX_QUANTITY}", field=f"{field}.quantity")
    return OrderLine(product_id=product.id, quantity=item.quantity, unit_price=product.price)
