from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

from attrs import frozen

from application.errors import OutcomeUnknown, Unavailable
from application.execution.concurrency import at_most
from application.execution.counting import MOST_COUNTED
from application.ports.broken import BrokenProduct, broken, sound
from application.ports.caching import CacheFence, CatalogueCache, CataloguePage, StockCache
from application.ports.catalogue import StockLevel
from application.ports.persistence import UnitOfWork
from domain.catalogue.product import Product
from domain.ids import ProductId

# Calls to the cache at once: most batches ask for the same few pages.
_AT_ONCE: Final = 8

_Page = Sequence[Product | BrokenProduct]


@frozen
class CountLeft:
    """Read the stock of products in the database. Those that don't exist are missing in the result."""

    _unit_of_work: UnitOfWork

    async def __call__(self, ids: Collection[ProductId]) -> dict[ProductId, StockLevel]:
        async with self._unit_of_work.reading() as tx:
            return await tx.products.stock_of(ids)


@frozen
class ReadStock:
    """Find the stock of products: in the cache, or else in the database, or not at all while that does not answer."""

    _cache: StockCache
    # `CountLeft`, with its timeout.
    _count_left: Callable[[Collection[ProductId]], Awaitable[Mapping[ProductId, StockLevel]]]

    async def __call__(self, ids: Collection[ProductId]) -> Mapping[ProductId, StockLevel]:
        epoch, known = await self._cache.get_many(ids)
        missing = {*ids} - known.keys()
        if not missing:
            return known
        try:
            read = await self._count_left(missing)
        except (Unavailable, OutcomeUnknown):
            return known
        await self._cache.put_read(read, epoch=epoch)
        return {**known, **read}


@frozen
class ReadPages:
    """Read pages of the catalogue by id: from the cache if they are current, else from the database, each once.

    A cached page has names and prices, which change seldom. Each sale changes the stock, which is kept apart, so that a
    sale does not end the pages. While the database does not answer, the stock may be that of the cached page. A page
    with a broken product is not cached: it is right as soon as somebody has corrected the row.
    """

    _unit_of_work: UnitOfWork
    _cache: CatalogueCache
    _fence: CacheFence
    _read_stock: ReadStock

    async def __call__(self, wanted: Sequence[CataloguePage]) -> Sequence[_Page | Unavailable]:
        pages = list(dict.fromkeys(wanted))
        looked_up = await at_most(_AT_ONCE, self._look_up, pages)
        found: dict[CataloguePage, _Page | Unavailable] = {}
        # With the epoch in which each page was looked up: the cache refuses it if that has ended meanwhile.
        missing: dict[CataloguePage, CataloguePage] = {}
        cached: list[Product] = []
        for page, (current, products) in zip(pages, looked_up, strict=True):
            if products is None:
                missing[page] = current
            else:
                found[page] = products
                cached += products
        await self._update_stock(cached)
        try:
            found |= await self._read(missing)
        except Unavailable as error:
            found |= dict.fromkeys(missing, error)
        return [found[page] for page in wanted]

    async def _look_up(self, page: CataloguePage) -> tuple[CataloguePage, Sequence[Product] | None]:
        return (page, None) if self._fence.is_up() else await self._cache.get(page)

    async def _update_stock(self, products: Collection[Product]) -> None:
        if not products:
            return
        levels = await self._read_stock({product.id for product in products})
        for product in products:
            level = levels.get(product.id)
            if level is not None and level.version > product.version:
                product.stock, product.version = level.units, level.version

    async def _read(self, missing: Mapping[CataloguePage, CataloguePage]) -> Mapping[CataloguePage, _Page]:
        if not missing:
            return {}
        read: dict[CataloguePage, _Page] = {}
        async with self._unit_of_work.reading() as tx:
            for page in missing:
                read[page] = await tx.products.page(after=page.after, limit=page.limit, active=page.active)
        whole = {page: sound(found) for page, found in read.items() if not broken(found, BrokenProduct)}
        await at_most(_AT_ONCE, lambda page: self._cache.put(missing[page], whole[page]), whole)
        return read


@frozen
class ListProducts:
    """List a page of the catalogue. Callers that ask for it at once get the same products, and must not change them."""

    # `ReadPages`, batched. Calls that arrive while a page is read become the next batch, which finds the page cached.
    _read: Callable[[CataloguePage], Awaitable[_Page]]

    async def __call__(
        self, *, after: ProductId | None = None, limit: int, active: bool | None = True
    ) -> Sequence[Product | BrokenProduct]:
        """With `active`, only products that are for sale, or only those that are not."""
        return await self._read(CataloguePage(after, limit, active))


@frozen
class CountProducts:
    """How many products a list has, up to `MOST_COUNTED`."""

    _unit_of_work: UnitOfWork

    async def __call__(self, *, active: bool | None = True) -> int:
        async with self._unit_of_work.reading() as tx:
            return await tx.products.count(active=active, most=MOST_COUNTED)
