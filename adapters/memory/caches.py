from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from math import inf
from time import monotonic

from attrs import define, evolve, field, frozen

from adapters.memory.copies import copied
from application.ports.caching import CataloguePage
from application.ports.catalogue import StockLevel
from domain.catalogue.product import Product
from domain.ids import OrderId, ProductId
from domain.orders.order import Order


@frozen
class _Known:
    """The newest known version of an order, and the order, or None if only its version is known."""

    version: int
    order: Order | None

    @property
    def size(self) -> int:
        return 1 + (len(self.order.lines) if self.order else 0)


@define(eq=False)
class MemoryRecentOrders:
    """The orders that were written or read last: at most `max_size` of them and their lines, counted together."""

    # An order has up to a hundred lines, which take most of its memory: about 30 MB in all.
    _max_size: int = field(default=50_000, kw_only=True)
    _known: OrderedDict[OrderId, _Known] = field(factory=OrderedDict, init=False)
    _size: int = field(default=0, init=False)

    async def get_many(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        known = {id_: self._known[id_].order for id_ in ids if id_ in self._known}
        return {id_: copied(order) for id_, order in known.items() if order is not None}

    async def put_many(self, orders: Sequence[Order]) -> bool:
        self._put([(order.id, _Known(order.version, copied(order))) for order in orders])
        return True

    def clear(self) -> None:
        self._known.clear()
        self._size = 0

    async def put_accepted(self, orders: Sequence[Order]) -> None:
        await self.put_many(orders)

    async def get_accepted(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        return await self.get_many(ids)

    async def scan(self, cursor: int) -> tuple[int, list[Order]]:  # noqa: ARG002 - one call returns all
        return 0, [copied(known.order) for known in self._known.values() if known.order is not None]

    async def invalidate_below(self, versions: Mapping[OrderId, int]) -> bool:
        # The version is kept, even for an order that was not cached: a reader with an older one may be about to put it.
        self._put([(id_, _Known(version, None)) for id_, version in versions.items()])
        return True

    def _put(self, new: Sequence[tuple[OrderId, _Known]]) -> None:
        for id_, each in new:
            known = self._known.get(id_)
            if known is None or known.version < each.version or (known.version == each.version and not known.order):
                self._known[id_] = each
                self._size += each.size - (known.size if known else 0)
            self._known.move_to_end(id_)
        while self._size > self._max_size:
            _, oldest = self._known.popitem(last=False)
            self._size -= oldest.size


@define(eq=False)
class MemoryCatalogueCache:
    """Pages of the current epoch of the catalogue: at most `max_pages`, those that were read last.

    Another process may change the stock in the same database, which this process does not notice. So a page is kept for
    `max_age` seconds only.
    """

    _max_age: float = field(default=1.0, kw_only=True)
    # Clients choose where a page begins and how long it is.
    _max_pages: int = field(default=200, kw_only=True)
    _time: Callable[[], float] = field(default=monotonic, kw_only=True)
    _epoch: int = field(default=0, init=False)
    _pages: OrderedDict[CataloguePage, tuple[float, list[Product]]] = field(factory=OrderedDict, init=False)

    async def get(self, page: CataloguePage) -> tuple[CataloguePage, list[Product] | None]:
        page = evolve(page, epoch=str(self._epoch))
        kept_at, products = self._pages.get(page, (0.0, []))
        if page not in self._pages or self._time() - kept_at > self._max_age:
            return page, None
        self._pages.move_to_end(page)
        return page, [copied(product) for product in products]

    async def put(self, page: CataloguePage, products: Sequence[Product]) -> None:
        if page.epoch == str(self._epoch):
            self._pages[page] = (self._time(), [copied(product) for product in products])
            self._pages.move_to_end(page)
            if len(self._pages) > self._max_pages:
                self._pages.popitem(last=False)

    async def begin_epoch(self) -> bool:
        self._epoch += 1
        self._pages.clear()
        return True


@define(eq=False)
class MemoryStockCache:
    """The stock of products, all of which is forgotten every `max_age` seconds, as another process may change it."""

    _max_age: float = field(default=1.0, kw_only=True)
    _time: Callable[[], float] = field(default=monotonic, kw_only=True)
    _epoch: int = field(default=0, init=False)
    _since: float = field(default=-inf, init=False)
    _levels: dict[ProductId, StockLevel] = field(factory=dict, init=False)

    async def get_many(self, ids: Collection[ProductId]) -> tuple[str | None, dict[ProductId, StockLevel]]:
        if self._is_over:
            self._epoch += 1
            self._since = self._time()
            self._levels.clear()
        return str(self._epoch), {id_: self._levels[id_] for id_ in ids if id_ in self._levels}

    async def put_read(self, levels: Mapping[ProductId, StockLevel], *, epoch: str | None) -> None:
        if epoch == str(self._epoch):
            self._put(levels)

    async def put_committed(self, levels: Mapping[ProductId, StockLevel]) -> bool:
        # While nobody lists products, nothing is kept for them.
        if self._is_over:
            self._levels.clear()
        else:
            self._put(levels)
        return True

    @property
    def _is_over(self) -> bool:
        return self._time() - self._since > self._max_age

    def _put(self, levels: Mapping[ProductId, StockLevel]) -> None:
        for id_, level in levels.items():
            known = self._levels.get(id_)
            if known is None or known.version < level.version:
                self._levels[id_] = level
