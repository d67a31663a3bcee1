from collections.abc import Collection
from datetime import timedelta
from typing import Final

from attrs import frozen

from application.errors import Unavailable
from application.orders.read_each import each_order
from application.ports.caching import AcceptedChanges, RecentOrders
from application.ports.environment import Clock
from application.ports.persistence import UnitOfWork
from application.reconciliation.discrepancies import Discrepancy, of_unrecorded, of_unrecorded_change
from domain.ids import JobId, OrderId
from domain.orders.events import OrderChangeAccepted
from domain.orders.order import Order

# Much longer than an accepted order waits for its next attempt, and shorter than recent orders are kept.
_LONG_AGO: Final = timedelta(minutes=2)


@frozen
class FindUnrecorded:
    """Find what a client was promised, is not in the database, and has had time to get there: orders, and changes.

    Only the caches know of it. What still waits in a long intake queue is found as well: recording it twice changes
    nothing.
    """

    _unit_of_work: UnitOfWork
    _recent: RecentOrders
    _changes: AcceptedChanges
    _now: Clock

    async def __call__(self, *, told: Collection[OrderId | None] = frozenset()) -> list[Discrepancy]:
        """Orders in `told` were reported: leave them out."""
        return [*await self._orders(told), *await self._changes_without_jobs()]

    async def _orders(self, told: Collection[OrderId | None]) -> list[Discrepancy]:
        missing: dict[OrderId, Order] = {}
        cursor = 0
        while True:
            try:
                cursor, orders = await self._recent.scan(cursor)
            except Unavailable as error:
                found = [of_unrecorded(order) for order in missing.values()]
                return [*found, Discrepancy(about="accepted", what=f"not checked: {error}")]
            missing |= await self._missing([order for order in orders if order.id not in told])
            if not cursor:
                return [of_unrecorded(order) for order in missing.values()]

    async def _changes_without_jobs(self) -> list[Discrepancy]:
        missing: dict[JobId, OrderChangeAccepted] = {}
        cursor, moment = 0, self._now() - _LONG_AGO
        while True:
            try:
                cursor, changes = await self._changes.scan(cursor)
            except Unavailable as error:
                found = list(map(of_unrecorded_change, missing.values()))
                return [*found, Discrepancy(about="accepted", what=f"not checked: {error}")]
            async with self._unit_of_work.reading() as tx:
                emptied_at = await tx.shop.emptied_at()
                # What was accepted before the shop was emptied is gone with its order.
                old = {
                    change.job_id: change
                    for change in changes
                    if change.at <= moment and (emptied_at is None or change.at >= emptied_at)
                }
                recorded = await tx.jobs.get_many(old.keys())
            missing |= {id_: change for id_, change in old.items() if id_ not in recorded}
            if not cursor:
                return list(map(of_unrecorded_change, missing.values()))

    async def _missing(self, orders: list[Order]) -> dict[OrderId, Order]:
        moment = self._now() - _LONG_AGO
        old = {order.id: order for order in orders if order.created_at <= moment}
        async with self._unit_of_work.reading() as tx:
            recorded = await each_order(tx, old.keys())
        return {id_: order for id_, order in old.items() if id_ not in recorded}
