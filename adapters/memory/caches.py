from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic

from attrs import define, evolve, field

from application.ports import CataloguePage
from domain.ids import OrderId
from domain.order import Order
from domain.product import Product


@define(eq=False)
class MemoryRecentOrders:
    """The orders that were touched last, at most `max_orders` of them."""

    _max_orders: int = field(default=10_000, kw_only=True)
    _orders: OrderedDict[OrderId, Order] = field(factory=OrderedDict, init=False)

    async def get_many(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        return {id_: evolve(self._orders[id_]) for id_ in ids if id_ in self._orders}

    async def put_many(self, orders: Sequence[Order]) -> None:
        for order in orders:
            known = self._orders.get(order.id)
            if known is None or known.version < order.version:
                self._orders[order.id] = evolve(order)
            self._orders.move_to_end(order.id)
        while len(self._orders) > self._max_orders:
            self._orders.popitem(last=False)

    async def forget_older(self, versions: Mapping[OrderId, int]) -> None:
        for id_, version in versions.items():
            if id_ in self._orders and self._orders[id_].version < version:
                del self._orders[id_]


@define(eq=False)
class MemoryCatalogueCache:
    """Pages of one edition of the catalogue.

    Another process may change the stock in the same database without a word to this one, so that a page is kept
    for `max_age` seconds only.
    """

    _max_age: float = field(default=1.0, kw_only=True)
    _time: Callable[[], float] = field(default=monotonic, kw_only=True)
    _edition: int = field(default=0, init=False)
    _pages: dict[CataloguePage, tuple[float, list[Product]]] = field(factory=dict, init=False)

    async def get(self, page: CataloguePage) -> tuple[CataloguePage, list[Product] | None]:
        page = evolve(page, edition=str(self._edition))
        kept_at, products = self._pages.get(page, (0.0, []))
        if page not in self._pages or self._time() - kept_at > self._max_age:
            return page, None
        return page, [evolve(product) for product in products]

    async def put(self, page: CataloguePage, products: Sequence[Product]) -> None:
        if page.edition == str(self._edition):
            self._pages[page] = (self._time(), [evolve(product) for product in products])

    async def new_edition(self) -> None:
        self._edition += 1
        self._pages.clear()
