from attrs import evolve

from adapters.codecs.events import encode
from adapters.memory.caches import MemoryCatalogueCache, MemoryRecentOrders
from application.execution.after_commit import InvalidateOlder
from application.ports.caching import CataloguePage
from application.ports.persistence import OutboxEntry
from domain.orders.events import OrderPlaced, StockReserved, event_id
from tests.unit.builders import NOW, an_order


async def test_when_an_event_is_published_no_older_order_is_read() -> None:
    recent, order = MemoryRecentOrders(), evolve(an_order(), version=2)
    await recent.put_many([order])
    invalidate_older = InvalidateOlder(recent, MemoryCatalogueCache())
    event = StockReserved(order_id=order.id, sequence=3, at=NOW)
    await invalidate_older([OutboxEntry(1, event_id(event), event.type, encode(event))])
    assert await recent.get_many({order.id}) == {}


async def test_when_a_change_of_stock_is_published_no_older_catalogue_is_read() -> None:
    catalogue = MemoryCatalogueCache()
    invalidate_older = InvalidateOlder(MemoryRecentOrders(), catalogue)
    order = an_order()
    placed = OrderPlaced(
        order_id=order.id, sequence=1, at=NOW, user_id=order.user_id, lines=order.lines, total=order.total
    )
    reserved = StockReserved(order_id=order.id, sequence=2, at=NOW)
    kept = []
    for position, event in enumerate((placed, reserved)):
        page, _ = await catalogue.get(CataloguePage(None, 10))
        await catalogue.put(page, [])
        await invalidate_older([OutboxEntry(position, event_id(event), event.type, encode(event))])
        kept.append((await catalogue.get(CataloguePage(None, 10)))[1])
    assert kept == [[], None]
