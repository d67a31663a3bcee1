"""Measures what the caches find."""

from collections.abc import Collection, Mapping, Sequence
from typing import Self

from attrs import frozen

from application.ports.caching import CatalogueCache, CataloguePage, RecentOrders, StockCache
from application.ports.catalogue import StockLevel
from application.ports.telemetry import Record, Telemetry
from application.telemetry import metrics
from domain.catalogue.product import Product
from domain.ids import OrderId, ProductId
from domain.orders.order import Order


@frozen
class Lookups:
    _hit: Record
    _miss: Record

    @classmethod
    def of(cls, telemetry: Telemetry, cache: str) -> Self:
        return cls(*(telemetry.of(metrics.CACHE_LOOKUPS, cache=cache, result=result) for result in ("hit", "miss")))

    def note(self, *, wanted: int, found: int) -> None:
        if found:
            self._hit(found)
        if wanted > found:
            self._miss(wanted - found)


@frozen
class MeasuredRecentOrders:
    _inner: RecentOrders
    _lookups: Lookups

    async def get_many(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        found = await self._inner.get_many(ids)
        self._lookups.note(wanted=len(ids), found=len(found))
        return found

    async def put_many(self, orders: Sequence[Order]) -> bool:
        return await self._inner.put_many(orders)

    async def put_accepted(self, orders: Sequence[Order]) -> None:
        await self._inner.put_accepted(orders)

    async def get_accepted(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        return await self._inner.get_accepted(ids)

    async def invalidate_below(self, versions: Mapping[OrderId, int]) -> bool:
        return await self._inner.invalidate_below(versions)

    async def scan(self, cursor: int) -> tuple[int, list[Order]]:
        return await self._inner.scan(cursor)


@frozen
class MeasuredCatalogueCache:
    _inner: CatalogueCache
    _lookups: Lookups

    async def get(self, page: CataloguePage) -> tuple[CataloguePage, list[Product] | None]:
        current, found = await self._inner.get(page)
        self._lookups.note(wanted=1, found=found is not None)
        return current, found

    async def put(self, page: CataloguePage, products: Sequence[Product]) -> None:
        await self._inner.put(page, products)

    async def begin_epoch(self) -> bool:
        return await self._inner.begin_epoch()


@frozen
class MeasuredStockCache:
    _inner: StockCache
    _lookups: Lookups

    async def get_many(self, ids: Collection[ProductId]) -> tuple[str | None, dict[ProductId, StockLevel]]:
        epoch, found = await self._inner.get_many(ids)
        self._lookups.note(wanted=len(ids), found=len(found))
        return epoch, found

    async def put_read(self, levels: Mapping[ProductId, StockLevel], *, epoch: str | None) -> None:
        await self._inner.put_read(levels, epoch=epoch)

    async def put_committed(self, levels: Mapping[ProductId, StockLevel]) -> bool:
        return await self._inner.put_committed(levels)
