from collections.abc import Sequence

from attrs import frozen

from application.ports.caching import CatalogueCache, CataloguePage
from application.ports.persistence import UnitOfWork
from domain.catalogue.product import Product
from domain.ids import ProductId


@frozen
class ListProducts:
    """Read a page of the catalogue by id, from the cache if it is current."""

    _unit_of_work: UnitOfWork
    _cache: CatalogueCache

    async def __call__(self, *, after: ProductId | None = None, limit: int) -> Sequence[Product]:
        page, products = await self._cache.get(CataloguePage(after, limit))
        if products is None:
            async with self._unit_of_work.reading() as tx:
                products = await tx.products.page(after=after, limit=limit)
            await self._cache.put(page, products)
        return products
