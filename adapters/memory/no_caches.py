"""No caches: every read goes to the database.

Where processes share a database and nothing else, a cache in one of them would miss the writes of the others.
"""

from collections.abc import Collection, Mapping, Sequence

from attrs import evolve, frozen

from application.ports.caching import CataloguePage
from application.ports.catalogue import StockLevel
from domain.catalogue.product import Product
from domain.ids import OrderId, ProductId
from domain.orders.order import Order


@frozen
class NoRecentOrders:
    """Holds no order, so that no older version can be read here."""

    async def get_many(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:  # noqa: ARG002 - the port's
        return {}

    async def put_many(self, orders: Sequence[Order]) -> bool:  # noqa: ARG002 - the port's
        return True

    async def put_accepted(self, orders: Sequence[Order]) -> None: ...

    async def get_accepted(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:  # noqa: ARG002 - the port's
        return {}

    async def invalidate_below(self, versions: Mapping[OrderId, int]) -> bool:  # noqa: ARG002 - the port's
        return True

    async def scan(self, cursor: int) -> tuple[int, list[Order]]:  # noqa: ARG002 - the port's
        return 0, []


@frozen
class NoCatalogueCache:
    """Holds no page."""

    async def get(self, page: CataloguePage) -> tuple[CataloguePage, list[Product] | None]:
        return evolve(page, epoch=""), None

    async def put(self, page: CataloguePage, products: Sequence[Product]) -> None: ...

    async def begin_epoch(self) -> bool:
        return True


@frozen
class NoStockCache:
    """Holds the stock of no product."""

    async def get_many(self, ids: Collection[ProductId]) -> tuple[str | None, dict[ProductId, StockLevel]]:  # noqa: ARG002 - the port's
        return None, {}

    async def put_read(self, levels: Mapping[ProductId, StockLevel], *, epoch: str | None) -> None: ...

    async def put_committed(self, levels: Mapping[ProductId, StockLevel]) -> bool:  # noqa: ARG002 - the port's
        return True
