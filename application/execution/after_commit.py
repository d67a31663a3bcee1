from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from attrs import define, field, frozen

from application.ports.caching import CatalogueCache, RecentOrders
from application.ports.messaging import EventPublisher, OutboxSignal
from application.ports.persistence import OutboxEntry
from domain.ids import OrderId
from domain.orders.events import OrderFailed, OrderRefunded, StockReserved
from domain.orders.order import Order


@define(eq=False)
class Committed:
    """What a transaction has written that others want to hear of."""

    orders: list[Order] = field(factory=list)
    # The versions of those that were locked, or stand in an answer that is given again: whoever changes none of them
    # may still tell somebody how they are.
    seen: dict[OrderId, int] = field(factory=dict)
    catalogue: bool = False
    events: bool = False

    def see(self, orders: Iterable[Order]) -> None:
        for order in orders:
            self.seen[order.id] = max(order.version, self.seen.get(order.id, 0))


# What a unit of work awaits when it has committed, before its block is left. It never raises.
AfterCommit = Callable[[Committed], Awaitable[None]]


async def propagate_nothing(_: Committed) -> None:
    """For a unit of work without caches and without a relay."""


@frozen
class PropagateChanges:
    """Bring the caches up to date with what was committed, and wake the relay.

    The catalogue is told before the orders: whoever reads that an order is paid for reads the stock that is left.
    """

    _recent: RecentOrders
    _catalogue: CatalogueCache
    _signal: OutboxSignal

    async def __call__(self, committed: Committed) -> None:
        if committed.events:
            self._signal.notify()
        if committed.catalogue:
            await self._catalogue.begin_epoch()
        if committed.orders:
            await self._recent.put_many(committed.orders)
        # A process may have died, or not have heard of its commit, before it told the caches. Whoever asks again is
        # answered with the order as it is, and must not read it as it was.
        if unchanged := committed.seen.keys() - {order.id for order in committed.orders}:
            await self._recent.invalidate_below({id_: committed.seen[id_] for id_ in unchanged})


_MOVES_STOCK: Final = frozenset({StockReserved.type, OrderFailed.type, OrderRefunded.type})


@frozen
class InvalidatingPublisher:
    """A publisher that lets no event overtake the caches.

    A process may die between its commit and its word to the caches. The outbox knows of every commit, so that what is
    older than an event is forgotten here, before anybody can hear of the event.
    """

    _inner: EventPublisher
    _recent: RecentOrders
    _catalogue: CatalogueCache

    async def publish(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        await self._recent.invalidate_below({entry.id.order_id: entry.id.sequence for entry in entries})
        if any(entry.type in _MOVES_STOCK for entry in entries):
            await self._catalogue.begin_epoch()
        return await self._inner.publish(entries)
