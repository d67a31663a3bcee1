from collections.abc import Collection, Sequence

from attrs import frozen

from application.intake.unrecorded import Unrecorded
from application.orders.changing import existing
from application.ports.caching import CacheFence, RecentOrders
from application.ports.persistence import UnitOfWork
from domain.errors import UnknownOrder
from domain.ids import OrderId
from domain.orders.order import Order


@frozen
class GetOrder:
    """Find orders: among the recent ones, then in the database, then among those not recorded yet."""

    _unit_of_work: UnitOfWork
    _recent: RecentOrders
    _unrecorded: Unrecorded
    _fence: CacheFence

    async def __call__(self, ids: Sequence[OrderId]) -> Sequence[Order | UnknownOrder]:
        found = await self._look(set(ids))
        # An order that was recorded just after the first read is found by the second.
        found |= await self._look(set(ids) - found.keys())
        return [_existing(found.get(order_id), order_id) for order_id in ids]

    async def _look(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        if not ids:
            return {}
        found = {} if self._fence.is_up() else await self._recent.get_many(ids)
        missing = set(ids) - found.keys()
        if missing:
            async with self._unit_of_work.reading() as tx:
                stored = await tx.orders.get_many(missing)
            await self._recent.put_many(list(stored.values()))
            # Also while the fence is up: an order that is not in the database has no newer version there.
            found = await self._unrecorded.get_many(missing - stored.keys()) | found | stored
        return found


def _existing(order: Order | None, order_id: OrderId) -> Order | UnknownOrder:
    try:
        return existing(order, order_id)
    except UnknownOrder as error:
        return error
