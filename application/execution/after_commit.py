from collections.abc import Awaitable, Callable, Iterable, Sequence

from attrs import define, field, frozen

from application.ports.caching import CacheFence, CatalogueCache, RecentOrders, StockCache
from application.ports.catalogue import StockLevel
from application.ports.messaging import OutboxSignal
from application.ports.outbox import OutboxEntry
from domain.ids import OrderId, ProductId
from domain.orders.events import Event
from domain.orders.order import Order


@define(eq=False)
class Committed:
    """The changes of a committed transaction, for the caches and the relay."""

    orders: list[Order] = field(factory=list)
    # The versions of orders that were locked, or that are part of a replayed response. Even if the transaction did not
    # change these orders, its caller may send them to a client.
    seen: dict[OrderId, int] = field(factory=dict)
    # Whether a product was added, or changed in more than its stock.
    catalogue: bool = False
    stock: dict[ProductId, StockLevel] = field(factory=dict)
    events: list[Event] = field(factory=list)
    # Whether there is something new in the outbox.
    outbox: bool = False

    def see(self, orders: Iterable[Order]) -> None:
        for order in orders:
            self.seen[order.id] = max(order.version, self.seen.get(order.id, 0))


# A unit of work awaits this callback after its commit, before its block ends. The callback never raises.
AfterCommit = Callable[[Committed], Awaitable[None]]


async def propagate_nothing(_: Committed) -> None:
    """Do nothing. For a unit of work without caches and relay."""


def tell_nobody(_: object) -> None:
    """Do nothing. For a process that logs no changes."""


@frozen
class PropagateChanges:
    """Update the caches after a commit, and wake the relay.

    The catalogue is updated before the orders. So a client that has read a paid order also reads the reduced stock.

    If the shared caches can't be updated, the fence is raised before anybody is told of the commit: another process
    could still read the older versions there.
    """

    _recent: RecentOrders
    _catalogue: CatalogueCache
    _stock: StockCache
    _fence: CacheFence
    _signal: OutboxSignal
    # Called with each commit that changed orders; it returns at once, and never raises.
    _tell: Callable[[Committed], None] = tell_nobody

    async def __call__(self, committed: Committed) -> None:
        if committed.orders:
            self._tell(committed)
        if committed.outbox:
            self._signal.notify()
        is_told = await self._catalogue.begin_epoch() if committed.catalogue else True
        if committed.stock:
            is_told &= await self._stock.put_committed(committed.stock)
        if committed.orders:
            # Of a new order there is no older version that could be read.
            is_told &= await self._recent.put_many(committed.orders) or all(
                _is_new(order) for order in committed.orders
            )
        # An earlier process may have died, or missed the reply to its commit, before it updated the caches. A client
        # that repeats its request gets the current order, and must not read an older version afterwards.
        if unchanged := committed.seen.keys() - {order.id for order in committed.orders}:
            is_told &= await self._recent.invalidate_below({id_: committed.seen[id_] for id_ in unchanged})
        if not is_told:
            await self._fence.raise_and_wait()


def _is_new(order: Order) -> bool:
    return order.version == 1


@frozen
class InvalidateOlder:
    """Invalidate the cache entries that are older than these events, before anybody can receive the events.

    A process may die between its commit and its update of the caches. But the outbox has the events of every commit.
    """

    _recent: RecentOrders

    async def __call__(self, entries: Sequence[OutboxEntry]) -> None:
        if entries:
            await self._recent.invalidate_below({entry.id.order_id: entry.id.sequence for entry in entries})
