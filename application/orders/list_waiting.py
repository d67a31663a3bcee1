from collections.abc import Sequence
from datetime import timedelta

from attrs import frozen

from application.access.principal import Principal
from application.orders.read_each import each_order
from application.ports.broken import BrokenOrder
from application.ports.environment import Clock
from application.ports.persistence import UnitOfWork, WaitingPlace
from domain.orders.order import Order


@frozen
class ListStuckOrders:
    """List the orders that have waited for the worker for too long, the longest first, each with its place."""

    _unit_of_work: UnitOfWork
    _now: Clock
    _stuck_after: timedelta

    async def __call__(
        self, _by: Principal, *, after: WaitingPlace | None = None, limit: int
    ) -> Sequence[tuple[WaitingPlace, Order | BrokenOrder]]:
        now = self._now()
        async with self._unit_of_work.reading() as tx:
            places = await tx.orders.waiting_since(
                now - self._stuck_after, ahead=now + self._stuck_after, after=after, limit=limit
            )
            found = await each_order(tx, [id_ for _, id_ in places])
        return [(place, found[place[1]]) for place in places if place[1] in found]
