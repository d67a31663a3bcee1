from collections.abc import Awaitable, Callable

from attrs import define, field, frozen

from application.ports import CatalogueCache, OutboxSignal, RecentOrders
from domain.order import Order


@define(eq=False)
class Committed:
    """What a transaction has written that others want to hear of."""

    orders: list[Order] = field(factory=list)
    catalogue: bool = False
    events: bool = False


# What a unit of work awaits when it has committed, before its block is left. It never raises.
AfterCommit = Callable[[Committed], Awaitable[None]]


async def tell_nobody(_: Committed) -> None:
    """For a unit of work without caches and without a relay."""


@frozen
class TellOthers:
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
            await self._catalogue.new_edition()
        if committed.orders:
            await self._recent.put_many(committed.orders)
