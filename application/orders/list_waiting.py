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
class ListWaitingOrders:
    """List the orders that wait for the worker, the longest first, each with its place.

    With `stuck`, those alone that have waited for too long.
    """

    _unit_of_work: UnitOfWork
    _now: Clock
    _stuck_after: timedelta

    async def __call__(
        self, _by: Principal, *, stuck: bool, after: WaitingPlace | None = None, limit: int
    ) -> Sequence[tuple[WaitingPlace, Order | BrokenOrder]]:
        now, longer_than = self._now(), self._stuck_after if stuck else timedelta(0)
        async with self._unit_of_work.reading() as tx:
            places = await tx.orders.waiting_since(now - longer_than, ahead=now + longer_than, after=after, limit=limit)
            found = await each_order(tx, [id_ for _, id_ in places])
        return [(place, found[place[1]]) for place in places if place[1] in found]
