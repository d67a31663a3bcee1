from attrs import evolve

from adapters.codecs.events import encode
from adapters.memory.caches import MemoryRecentOrders
from application.execution.after_commit import InvalidateOlder
from application.ports.outbox import OutboxEntry
from domain.orders.events import StockReserved, event_id
from tests.unit.builders import NOW, an_order


async def test_when_an_event_is_published_no_older_order_is_read() -> None:
    recent, order = MemoryRecentOrders(), evolve(an_order(), version=2)
    await recent.put_many([order])
    invalidate_older = InvalidateOlder(recent)
    event = StockReserved(order_id=order.id, sequence=3, at=NOW)
    await invalidate_older([OutboxEntry(1, event_id(event), event.type, encode(event))])
    assert await recent.get_many({order.id}) == {}
