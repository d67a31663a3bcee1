from attrs import define, field

from adapters.memory.caches import MemoryRecentOrders
from application.ports.caching import DatabaseMark


@define(eq=False)
class MemoryCacheOwner:
    """The database that the orders in this process come from.

    The first mark invalidates nothing: what this process cached before comes from no other database.
    """

    _orders: MemoryRecentOrders
    _mark: DatabaseMark | None = field(default=None, init=False)

    async def get(self) -> DatabaseMark | None:
        return self._mark

    async def change(self, mark: DatabaseMark, *, since: DatabaseMark | None) -> None:
        if self._mark != since:
            return
        if since is not None and not mark.continues(since):
            self._orders.clear()
        self._mark = mark
