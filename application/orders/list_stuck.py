from collections.abc import Sequence
from datetime import timedelta

from attrs import frozen

from application.access.principal import Principal
from application.orders.read_each import each_order
from application.ports.broken import BrokenOrder
from application.ports.environment import Clock
from application.ports.persistence import UnitOfWork
from domain.ids import OrderId
from domain.orders.order import Order


@frozen
class ListStuckOrders:
    """List the orders that have waited for the worker for too long, by their ids. A page begins after `after`."""

    _unit_of_work: UnitOfWork
    _now: Clock
    _stuck_after: timedelta

    async def __call__(
        self, _by: Principal, *, after: OrderId | None = None, limit: int
    ) -> Sequence[Order | BrokenOrder]:
        now = self._now()
        async with self._unit_of_work.reading() as tx:
            ids = await tx.orders.waiting_since(
                now - self._stuck_after, ahead=now + self._stuck_after, after=after, limit=limit
            )
            found = await each_order(tx, ids)
        return [found[id_] for id_ in ids if id_ in found]
