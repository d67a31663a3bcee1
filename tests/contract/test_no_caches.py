"""What the caches promise where there are none: nothing is ever read, so nothing older than the database's either."""

from adapters.memory.no_caches import NoCatalogueCache, NoRecentOrders, NoStockCache
from application.ports.caching import CatalogueCache, CataloguePage, RecentOrders, StockCache
from application.ports.catalogue import StockLevel
from domain.ids import ProductId
from tests.unit.builders import a_product, an_order


async def test_no_order_is_read_whatever_was_put() -> None:
    recent: RecentOrders = NoRecentOrders()
    order = an_order()
    assert await recent.put_many([order])
    await recent.put_accepted([order])
    assert await recent.get_many([order.id]) == {}
    assert await recent.scan(0) == (0, [])


async def test_no_older_version_of_an_order_can_be_read() -> None:
    """Otherwise the fence would be raised after each commit."""
    assert await NoRecentOrders().invalidate_below({an_order().id: 7})


async def test_no_page_is_read_whatever_was_put() -> None:
    cache: CatalogueCache = NoCatalogueCache()
    page, products = await cache.get(CataloguePage(after=None, limit=10))
    await cache.put(page, [a_product(1)])
    assert products is None
    assert (await cache.get(page))[1] is None
    assert await cache.begin_epoch()


async def test_no_stock_is_read_whatever_was_put() -> None:
    cache: StockCache = NoStockCache()
    levels = {ProductId(1): StockLevel(units=5, version=2)}
    epoch, _ = await cache.get_many(levels)
    await cache.put_read(levels, epoch=epoch)
    assert await cache.put_committed(levels)
    assert (await cache.get_many(levels))[1] == {}
