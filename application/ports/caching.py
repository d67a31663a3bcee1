"""Caches: what they hold may be lost at any time."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from attrs import frozen

from domain.catalogue.product import Product
from domain.ids import OrderId, ProductId
from domain.orders.order import Order


class RecentOrders(Protocol):
    """Orders that were lately written or read. Best effort: it may be empty, slow or gone, and never raises.

    An order is only ever replaced by a newer version of itself, and a deleted one is kept as deleted.
    """

    async def get_many(self, ids: Collection[OrderId]) -> dict[OrderId, Order]: ...

    async def put_many(self, orders: Sequence[Order]) -> None: ...

    async def invalidate_below(self, versions: Mapping[OrderId, int]) -> None:
        """Remove every cached copy that is older than the version given."""


@frozen
class CataloguePage:
    """Which part of the product list, and in which cache epoch. Every change of stock begins a new epoch."""

    after: ProductId | None
    limit: int
    epoch: str | None = None


class CatalogueCache(Protocol):
    """Pages of the product list. Best effort: it may be empty, slow or gone, and never raises."""

    async def get(self, page: CataloguePage) -> tuple[CataloguePage, list[Product] | None]:
        """The page with the current epoch, and its products if they are cached."""

    async def put(self, page: CataloguePage, products: Sequence[Product]) -> None:
        """Cache the products of a page that `get` returned, unless a new epoch has begun since."""

    async def begin_epoch(self) -> None:
        """The stock or the catalogue has changed: invalidate every page."""


class PriceList(Protocol):
    """The products that this process knows. A price never changes, and a product is never removed.

    So an order for a product found here can be priced without the database; only the stock is unknown. A product that
    is missing here may exist.
    """

    def get_many(self, ids: Collection[ProductId]) -> dict[ProductId, Product]: ...

    def put_many(self, products: Sequence[Product]) -> None: ...
