from collections.abc import Collection, Sequence
from datetime import datetime

from attrs import frozen

from adapters.memory.copies import copied
from adapters.memory.store import Changes
from application.errors import Aborted
from application.ports.broken import BrokenOrder
from application.ports.order_search import STRETCH, IdsFound, OrderFilter, OrdersFound
from application.ports.persistence import OrderConflict, OrderExists, WaitingPlace
from domain.ids import CustomerId, OrderId
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
                raise OrderExists(f"order {order.id} exists already")
            if (name := _external_id(order)) and await self.with_external_ids({name}):
                raise Aborted(f"another order of customer {name[0]} has the external id {name[1]!r}")
            self._changes.orders[order.id] = copied(order)
            self._changes.recorded_at[order.id] = self._changes.store.now()
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
        self, *, user_id: CustomerId | None, status: OrderStatus | None, before: OrderId | None, limit: int
    ) -> list[Order | BrokenOrder]:
        found = [
            order
            for order in self._changes.orders.values()
            if not order.deleted and user_id in {None, order.user_id} and status in {None, order.status}
        ]
        newest_first = sorted(self._before(found, before), key=_place, reverse=True)
        return [copied(order) for order in newest_first[:limit]]

    async def count(self, *, user_id: CustomerId | None, status: OrderStatus | None = None, most: int) -> int:
        return len(await self.page(user_id=user_id, status=status, before=None, limit=most))

    async def search(
        self, wanted: OrderFilter, *, before: OrderId | None, limit: int, stretch: int = STRETCH
    ) -> OrdersFound:
        found, looked_to = self._search(wanted, before, limit, stretch)
        return OrdersFound([copied(order) for order in found], looked_to)

    async def search_ids(
        self, wanted: OrderFilter, *, before: OrderId | None, limit: int, stretch: int = STRETCH
    ) -> IdsFound:
        found, looked_to = self._search(wanted, before, limit, stretch)
        return IdsFound([order.id for order in found], looked_to)

    def _search(
        self, wanted: OrderFilter, before: OrderId | None, limit: int, stretch: int
    ) -> tuple[list[Order], OrderId | None]:
        led_to = [order for order in self._changes.orders.values() if wanted.leads_to(order)]
        looked_at = sorted(self._before(led_to, before), key=_place, reverse=True)[:stretch]
        found = [order for order in looked_at if wanted.matches(order)][:limit]
        is_through = len(found) == limit or len(looked_at) < stretch
        return found, None if is_through else looked_at[-1].id

    async def ids_between(self, first: OrderId, last: OrderId, *, limit: int) -> list[OrderId]:
        return sorted((id_ for id_ in self._changes.orders if first <= id_ <= last), reverse=True)[:limit]

    async def with_external_ids(
        self, wanted: Collection[tuple[CustomerId, str]]
    ) -> dict[tuple[CustomerId, str], OrderId]:
        orders = [order for order in self._changes.orders.values() if not order.deleted]
        named = {name: order.id for order in orders if (name := _external_id(order))}
        return {name: named[name] for name in wanted if name in named}

    async def unpaid_since(
        self, moment: datetime, *, recorded_after: datetime | None = None, after: OrderId | None, limit: int
    ) -> list[OrderId]:
        if moment > self._changes.store.now():
            return []
        recorded_at = self._changes.recorded_at
        found = [
            order
            for order in self._changes.orders.values()
            if order.status in MAY_EXPIRE and not order.deleted and recorded_at[order.id] <= moment
        ]
        places = sorted((recorded_at[order.id], order.id) for order in found)
        if recorded_after is not None:
            places = [place for place in places if place[0] > recorded_after]
        if after is not None:
            places = [place for place in places if after in recorded_at and place > (recorded_at[after], after)]
        return [id_ for _, id_ in places[:limit]]

    async def redate_unpaid(self) -> None:
        now = self._changes.store.now()
        for order in self._changes.orders.values():
            if order.status in MAY_EXPIRE and self._changes.recorded_at[order.id] > now:
                self._changes.recorded_at[order.id] = now

    async def waiting_since(
        self,
        moment: datetime,
        *,
        since: datetime | None = None,
        ahead: datetime,
        after: WaitingPlace | None,
        limit: int,
    ) -> list[WaitingPlace]:
        places = [
            (order.updated_at, order.id)
            for order in self._changes.orders.values()
            if not moment < order.updated_at <= ahead
            and (since is None or order.updated_at >= since)
            and (
                order.status in WAITS_FOR_WORKER
                or (order.refund_requested and order.status is not OrderStatus.REFUNDED)
            )
        ]
        return sorted(place for place in places if after is None or place > after)[:limit]

    def _before(self, orders: Sequence[Order], before: OrderId | None) -> Sequence[Order]:
        """The orders before another order, in time."""
        if before is None:
            return orders
        start = self._changes.orders.get(before)
        return [order for order in orders if start is not None and _place(order) < _place(start)]


def _place(order: Order) -> _Place:
    return order.created_at, order.id


def _external_id(order: Order) -> tuple[CustomerId, str] | None:
    if order.details is None or order.details.external_id is None:
        return None
    return order.user_id, order.details.external_id
