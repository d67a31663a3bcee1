import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from math import inf

import pytest
from attrs import define, field

from adapters.memory.cache_fence import NoCacheFence
from adapters.memory.caches import MemoryCatalogueCache, MemoryRecentOrders, MemoryStockCache
from adapters.memory.signal import MemoryOutboxSignal
from adapters.memory.unit_of_work import MemoryUnitOfWork
from application.access.principal import the_system
from application.catalogue.add_products import AddProducts, NewProduct
from application.catalogue.adjust_stock import AdjustStock, StockCall
from application.catalogue.get_product import GetProduct
from application.catalogue.list_products import CountLeft, ListProducts, ReadPages, ReadStock
from application.errors import Unavailable
from application.execution.after_commit import PropagateChanges
from application.execution.batching import Batched
from application.ports.caching import CatalogueCache, StockCache
from application.ports.persistence import Transaction, UnitOfWork
from domain.catalogue.product import Product
from domain.errors import OutOfStock, ProductExists, UnknownProduct
from domain.ids import MAX_EXACT, ProductId
from tests.unit.builders import NOW, euros
from tests.unit.shop import Shop
from tests.unit.unsteady import UnsteadyUnitOfWork


def a_pen(number: int | None = None, *, stock: int = 5) -> NewProduct:
    id_ = None if number is None else ProductId(number)
    return NewProduct(id=id_, name="fountain pen", price=euros(1250), stock=stock)


@pytest.fixture
def add_products(shop: Shop) -> AddProducts:
    return AddProducts(shop.unit_of_work, shop.clock)


@pytest.fixture
def adjust_stock(shop: Shop) -> AdjustStock:
    return AdjustStock(shop.unit_of_work, shop.clock)


async def test_products_get_the_next_ids_and_their_stock_a_first_count(shop: Shop, add_products: AddProducts) -> None:
    one, two = await add_products(the_system("ada"), [a_pen(), a_pen(stock=0)])
    assert isinstance(one, Product)
    assert isinstance(two, Product)
    assert (one.id, two.id, one.created_at) == (1, 2, NOW)
    assert [(entry.change, entry.reason, entry.made_by) for entry in shop.store.adjustments] == [
        (5, "first count", "ada"),
        (0, "first count", "ada"),
    ]


async def test_the_largest_id_that_there_is_leaves_the_next_ones_free(shop: Shop, add_products: AddProducts) -> None:
    [chosen, following] = await add_products(the_system("ada"), [a_pen(MAX_EXACT), a_pen()])
    [next_one] = await add_products(the_system("ada"), [a_pen()])
    assert [product.id for product in (chosen, following, next_one)] == [MAX_EXACT, 1, 2]


async def test_an_id_that_is_taken_is_refused_alone(shop: Shop, add_products: AddProducts) -> None:
    await add_products(the_system("ada"), [a_pen(7)])
    outcomes = await add_products(the_system("ada"), [a_pen(7, stock=99), a_pen(3), a_pen()])
    assert isinstance(outcomes[0], ProductExists)
    assert [product.id for product in outcomes[1:] if isinstance(product, Product)] == [3, 8]
    assert shop.store.products[ProductId(7)].stock == 5


async def test_stock_is_counted_in_and_out_with_a_reason(shop: Shop, adjust_stock: AdjustStock) -> None:
    pen = await shop.sells(stock=5)
    outcomes = await adjust_stock(
        the_system("ada"),
        [
            StockCall(product_id=pen.id, delta=delta, reason=reason)
            for delta, reason in ((10, "delivery"), (-15, "a flood"))
        ],
    )
    assert [product.stock for product in outcomes if isinstance(product, Product)] == [15, 0]
    assert [entry.change for entry in shop.store.adjustments] == [5, 10, -15]


async def test_units_that_are_not_there_are_not_counted_out(shop: Shop, adjust_stock: AdjustStock) -> None:
    pen = await shop.sells(stock=5)
    await shop.paid((pen, 2))
    [refusal] = await adjust_stock(the_system("ada"), [StockCall(product_id=pen.id, delta=-4, reason="a flood")])
    assert isinstance(refusal, OutOfStock)
    assert "3 units left, 4 were to be removed" in str(refusal)
    assert await shop.stock_of(pen) == 3


async def test_stock_of_nothing_is_not_adjusted(adjust_stock: AdjustStock) -> None:
    call = StockCall(product_id=ProductId(404), delta=1, reason="delivery")
    [refusal] = await adjust_stock(the_system("ada"), [call])
    assert isinstance(refusal, UnknownProduct)


async def test_products_are_found_one_by_one(shop: Shop) -> None:
    pen = await shop.sells()
    found, missing, again = await GetProduct(shop.unit_of_work)([pen.id, ProductId(404), pen.id])
    assert found == again == pen
    assert isinstance(missing, UnknownProduct)


def listing(unit_of_work: UnitOfWork, cache: CatalogueCache, stock: StockCache | None = None) -> ListProducts:
    # Without a cache for it, the stock is read each time.
    left = ReadStock(stock or MemoryStockCache(max_age=-1), CountLeft(unit_of_work))
    return ListProducts(Batched(ReadPages(unit_of_work, cache, NoCacheFence(), left)))


async def test_the_catalogue_is_paged_by_id(shop: Shop) -> None:
    pens = [await shop.sells() for _ in range(5)]
    list_products = listing(shop.unit_of_work, MemoryCatalogueCache())
    first = await list_products(limit=2)
    second = await list_products(after=first[-1].id, limit=2)
    third = await list_products(after=second[-1].id, limit=2)
    assert [*first, *second, *third] == pens


@define(eq=False)
class CachedShop:
    """A shop whose list is cached for good, and is told of what is committed."""

    shop: Shop
    list_products: ListProducts = field(init=False)
    adjust_stock: AdjustStock = field(init=False)
    reads: "CountedReads" = field(init=False)

    def __attrs_post_init__(self) -> None:
        pages, stock = MemoryCatalogueCache(max_age=inf), MemoryStockCache(max_age=inf)
        told = PropagateChanges(MemoryRecentOrders(), pages, stock, NoCacheFence(), MemoryOutboxSignal())
        self.reads = CountedReads(MemoryUnitOfWork(self.shop.store, told))
        self.list_products = listing(self.reads, pages, stock)
        self.adjust_stock = AdjustStock(self.reads, self.shop.clock)

    async def listed(self) -> list[tuple[int, int]]:
        return [(product.stock, product.version) for product in await self.list_products(limit=10)]


async def test_each_change_of_stock_is_listed_at_once_and_ends_no_page(shop: Shop) -> None:
    cached = CachedShop(shop)
    pen, _ = await shop.sells(stock=5), await shop.sells(stock=7)
    assert await cached.listed() == [(5, 1), (7, 1)]
    assert await cached.listed() == [(5, 1), (7, 1)]
    cached.reads.count = 0
    for left, version in ((4, 2), (3, 3), (2, 4)):
        await cached.adjust_stock(the_system("ada"), [StockCall(product_id=pen.id, delta=-1, reason="a flood")])
        assert await cached.listed() == [(left, version), (7, 1)]
    assert cached.reads.count == 0


async def test_the_stock_of_a_cached_page_is_read_alone_where_no_cache_knows_it(shop: Shop) -> None:
    """Another process may have died between its commit and the cache."""
    pages = MemoryCatalogueCache(max_age=inf)
    pen = await shop.sells(stock=5)
    list_products = listing(shop.unit_of_work, pages)
    await list_products(limit=10)
    await AdjustStock(shop.unit_of_work, shop.clock)(
        the_system("ada"), [StockCall(product_id=pen.id, delta=-1, reason="a flood")]
    )
    # Changed without telling anybody, which shows that the page was cached.
    shop.store.products[pen.id].name = "ink"
    assert [(each.name, each.stock) for each in await list_products(limit=10)] == [("fountain pen", 4)]


async def test_without_the_database_a_cached_page_is_listed_and_another_is_not(shop: Shop) -> None:
    pages, asked = MemoryCatalogueCache(max_age=inf), UnsteadyUnitOfWork(shop.unit_of_work)
    await shop.sells(stock=5)
    list_products = listing(asked, pages)
    await list_products(limit=10)
    asked.gone = True
    found, missing = await asyncio.gather(list_products(limit=10), list_products(limit=11), return_exceptions=True)
    assert not isinstance(found, BaseException)
    assert [product.stock for product in found] == [5]
    assert isinstance(missing, Unavailable)


async def test_changing_a_listed_product_changes_nothing_for_others(shop: Shop) -> None:
    await shop.sells(stock=5)
    list_products = listing(shop.unit_of_work, MemoryCatalogueCache())
    (await list_products(limit=10))[0].stock = 99
    assert [product.stock for product in await list_products(limit=10)] == [5]


@define(eq=False)
class CountedReads:
    """A unit of work that counts its readings, each of which takes some iterations of the event loop."""

    _inner: UnitOfWork
    count: int = field(default=0, init=False)

    def __call__(self) -> AbstractAsyncContextManager[Transaction]:
        return self._inner()

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[Transaction, None]:
        self.count += 1
        for _ in range(10):
            await asyncio.sleep(0)
        async with self._inner.reading() as tx:
            yield tx


@pytest.mark.parametrize("is_cached", [True, False])
async def test_a_missing_page_is_read_once_for_all_who_ask_at_once(shop: Shop, *, is_cached: bool) -> None:
    await shop.sells()
    reads = CountedReads(shop.unit_of_work)
    # With a cache that forgets everything, as while Redis is away, the second batch reads again.
    cache = MemoryCatalogueCache() if is_cached else MemoryCatalogueCache(max_age=-1)
    list_products = listing(reads, cache)
    answers = await asyncio.gather(*(list_products(limit=10) for _ in range(200)))
    assert all(len(products) == 1 for products in answers)
    assert reads.count <= 4


async def test_pages_that_are_asked_for_at_once_are_told_apart(shop: Shop) -> None:
    pens = [await shop.sells() for _ in range(5)]
    list_products = listing(shop.unit_of_work, MemoryCatalogueCache())
    asked = [(after, limit) for after in (None, *(pen.id for pen in pens)) for limit in (1, 2, 10)] * 3
    pages = await asyncio.gather(*(list_products(after=after, limit=limit) for after, limit in asked))
    assert pages == [[pen for pen in pens if pen.id > (after or 0)][:limit] for after, limit in asked]


async def test_a_reader_who_comes_after_a_change_sees_it_while_others_read(shop: Shop) -> None:
    pen = await shop.sells(stock=5)
    list_products = listing(CountedReads(shop.unit_of_work), MemoryCatalogueCache(max_age=-1))
    before = asyncio.ensure_future(list_products(limit=10))
    for _ in range(5):
        await asyncio.sleep(0)
    await AdjustStock(shop.unit_of_work, shop.clock)(
        the_system("ada"), [StockCall(product_id=pen.id, delta=1, reason="delivery")]
    )
    assert [product.stock for product in await list_products(limit=10)] == [6]
    assert [product.stock for product in await before] in ([5], [6])
