from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from attrs import frozen

from application.execution.concurrency import at_most
from application.ports.caching import CacheFence, CatalogueCache, CataloguePage
from application.ports.persistence import UnitOfWork
from domain.catalogue.product import Product
from domain.ids import ProductId

# Calls to the cache at once: most batches ask for the same few pages.
_AT_ONCE: Final = 8


@frozen
class ReadPages:
    """Read pages of the catalogue by id: from the cache if they are current, else from the database, each once."""

    _unit_of_work: UnitOfWork
    _cache: CatalogueCache
    _fence: CacheFence

    async def __call__(self, wanted: Sequence[CataloguePage]) -> Sequence[Sequence[Product]]:
        pages = list(dict.fromkeys(wanted))
        looked_up = await at_most(_AT_ONCE, self._look_up, pages)
        found: dict[CataloguePage, Sequence[Product]] = {
            page: products for page, (_, products) in zip(pages, looked_up, strict=True) if products is not None
        }
        # With the epoch in which each page was looked up: the cache refuses it if that has ended meanwhile.
        missing = {
            page: current for page, (current, products) in zip(pages, looked_up, strict=True) if products is None
        }
        if missing:
            read: dict[CataloguePage, Sequence[Product]] = {}
            async with self._unit_of_work.reading() as tx:
                for page in missing:
                    read[page] = await tx.products.page(after=page.after, limit=page.limit)
            await at_most(_AT_ONCE, lambda page: self._cache.put(missing[page], read[page]), missing)
            found |= read
        return [found[page] for page in wanted]

    async def _look_up(self, page: CataloguePage) -> tuple[CataloguePage, Sequence[Product] | None]:
        return (page, None) if self._fence.is_up() else await self._cache.get(page)


@frozen
class ListProducts:
    """List a page of the catalogue. Callers that ask for it at once get the same products, and must not change them."""

    # `ReadPages`, batched. Calls that arrive while a page is read become the next batch, which finds the page cached.
    _read: Callable[[CataloguePage], Awaitable[Sequence[Product]]]

    async def __call__(self, *, after: ProductId | None = None, limit: int) -> Sequence[Product]:
        return await self._read(CataloguePage(after, limit))
