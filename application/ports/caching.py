"""What may be forgotten at any time."""

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
        """Let nobody find an order any more in a version below the one given."""


@frozen
class CataloguePage:
    """Which part of the product list, and of which edition of it: every change of stock makes a new edition."""

    after: ProductId | None
    limit: int
    edition: str | None = None


class CatalogueCache(Protocol):
    """Pages of the product list. Best effort: it may be empty, slow or gone, and never raises."""

    async def get(self, page: CataloguePage) -> tuple[CataloguePage, list[Product] | None]:
        """The page, with the edition that is current, and its products where they are kept."""

    async def put(self, page: CataloguePage, products: Sequence[Product]) -> None:
        """Keep the products of a page that `get` returned, unless there has been a new edition since."""

    async def begin_epoch(self) -> None:
        """The stock or the catalogue has changed: forget every page."""


class PriceList(Protocol):
    """What this process knows of what is sold. A price never changes, and a product is never taken away.

    So what is found here may be agreed upon without the database, all but the stock. What is missing may exist.
    """

    def get_many(self, ids: Collection[ProductId]) -> dict[ProductId, Product]: ...

    def put_many(self, products: Sequence[Product]) -> None: ...
