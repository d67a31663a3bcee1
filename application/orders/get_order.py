from collections.abc import Collection, Sequence

from attrs import frozen

from application.errors import Unavailable
from application.execution.conditional import OrderCall, expect, order_id_in
from application.intake.unrecorded import Unrecorded
from application.orders.changing import existing
from application.orders.read_each import each_order
from application.ports.broken import BrokenOrder, sound
from application.ports.caching import CacheFence, RecentOrders
from application.ports.persistence import UnitOfWork
from domain.errors import DomainError
from domain.ids import OrderId
from domain.orders.order import Order

_Found = Order | Unavailable | BrokenOrder
_Outcome = _Found | DomainError


@frozen
class GetOrder:
    """Find orders: among the recent ones, then in the database, then among those not recorded yet."""

    _unit_of_work: UnitOfWork
    _recent: RecentOrders
    _unrecorded: Unrecorded
    _fence: CacheFence

    async def __call__(self, calls: Sequence[OrderCall]) -> Sequence[_Outcome]:
        ids = set(map(order_id_in, calls))
        found = await self._look(ids)
        # An order that was recorded just after the first read is found by the second.
        found |= await self._look({id_ for id_ in ids if not isinstance(found.get(id_), Order | BrokenOrder)})
        return [_outcome(call, found.get(order_id_in(call))) for call in calls]

    async def _look(self, ids: Collection[OrderId]) -> dict[OrderId, _Found]:
        if not ids:
            return {}
        found: dict[OrderId, _Found] = {}
        if not self._fence.is_up():
            found |= await self._recent.get_many(ids)
        missing = set(ids) - found.keys()
        if missing:
            async with self._unit_of_work.reading() as tx:
                stored = await each_order(tx, missing)
            await self._recent.put_many(sound(stored.values()))
            # Also while the fence is up: an order that is not in the database has no newer version there.
            found = {**await self._unrecorded.get_many(missing - stored.keys()), **found, **stored}
        return found


def _outcome(call: OrderCall, found: _Found | None) -> _Outcome:
    if isinstance(found, Unavailable | BrokenOrder):
        return found
    try:
        order = existing(found, order_id_in(call))
        expect(call, order)
    except DomainError as error:
        return error
    return order
