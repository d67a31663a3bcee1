from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from attrs import frozen

from adapters.memory.copies import copied
from adapters.memory.store import Changes
from application.errors import Aborted
from application.ports.persistence import OrderConflict
from domain.ids import OrderId, UserId
from domain.orders.order import Order
from domain.orders.status import MAY_EXPIRE, WAITS_FOR_WORKER, OrderStatus

# The position of an order in time.
_Place = tuple[datetime, OrderId]


@frozen
class MemoryOrders:
    _changes: Changes

    async def add_many(self, orders: Sequence[Order]) -> None:
        for order in orders:
            if order.id in self._changes.orders:
                raise Aborted(f"order {order.id} exists already")
            self._changes.orders[order.id] = copied(order)
        self._changes.committed.orders += orders

    async def get_many(
        self,
        ids: Collection[OrderId],
        *,
        lock: bool = False,
    ) -> dict[OrderId, Order]:
        found = {id_: copied(self._changes.orders[id_]) for id_ in sorted(ids) if id_ in self._changes.orders}
        if lock:
            # The only writer has locked everything anyway.
            self._changes.committed.see(found.values())
        return found

    async def save_many(self, orders: Sequence[Order]) -> None:
        for order in orders:
            stored = self._changes.orders.get(order.id)
            if stored is None or stored.version != order.version - 1:
                raise OrderConflict(f"order {order.id} changed since it was read")
            self._changes.orders[order.id] = copied(order)
        self._changes.committed.orders += orders

    async def page(
        self, *, user_id: UserId | None, status: OrderStatus | None, before: OrderId | None, limit: int
    ) -> list[Order]:
        found = [
            order
            for order in self._changes.orders.values()
            if not order.deleted and user_id in {None, order.user_id} and status in {None, order.status}
        ]
        newest_first = sorted(self._beside(found, before, lambda place, start: place < start), key=_place, reverse=True)
        return [copied(order) for order in newest_first[:limit]]

    async def unpaid_since(self, moment: datetime, *, after: OrderId | None, limit: int) -> list[OrderId]:
        found = [
            order
            for order in self._changes.orders.values()
            if order.status in MAY_EXPIRE and not order.deleted and order.created_at <= moment
        ]
        oldest_first = sorted(self._beside(found, after, lambda place, start: place > start), key=_place)
        return [order.id for order in oldest_first[:limit]]

    async def waiting_since(self, moment: datetime, *, after: OrderId | None, limit: int) -> list[OrderId]:
        ids = [
            order.id
            for order in self._changes.orders.values()
            if order.updated_at <= moment
            and (
                order.status in WAITS_FOR_WORKER
                or (order.refund_requested and order.status is not OrderStatus.REFUNDED)
            )
        ]
        return sorted(id_ for id_ in ids if after is None or id_ > after)[:limit]

    def _beside(
        self, orders: Sequence[Order], of: OrderId | None, side: Callable[[_Place, _Place], bool]
    ) -> Sequence[Order]:
        """The orders before or after another order, in time."""
        if of is None:
            return orders
        start = self._changes.orders.get(of)
        return [order for order in orders if start is not None and side(_place(order), _place(start))]


def _place(order: Order) -> _Place:
    return order.created_at, order.id
