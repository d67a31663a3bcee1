from collections.abc import Sequence

from attrs import frozen

from application.execution.conditional import OrderCall, expect, order_id_in
from application.intake.unrecorded import NotYetRecorded, Unrecorded
from application.orders.changing import existing
from application.ports.caching import RecentOrders
from application.ports.persistence import UnitOfWork
from domain.ids import OrderId
from domain.orders.events import Event
from domain.orders.order import Order


@frozen
class GetHistory:
    """Read the events of one order, in sequence. Raise `UnknownOrder`, `NotYetRecorded` or `Unavailable`."""

    _unit_of_work: UnitOfWork
    _recent: RecentOrders
    _unrecorded: Unrecorded

    async def __call__(self, call: OrderCall) -> Sequence[Event]:
        order_id = order_id_in(call)
        order, history = await self._read(order_id)
        if order is None:
            accepted = await self._unrecorded.get(order_id)
            if accepted is not None:
                expect(call, accepted)
                raise NotYetRecorded(order_id)
            # It may have been recorded between the two reads.
            order, history = await self._read(order_id)
        order = existing(order, order_id)
        expect(call, order)
        # A client that has seen a change here must not read an older version of the order afterwards.
        await self._recent.invalidate_below({order_id: max(order.version, history[-1].sequence)})
        return history

    async def _read(self, order_id: OrderId) -> tuple[Order | None, Sequence[Event]]:
        async with self._unit_of_work.reading() as tx:
            order = (await tx.orders.get_many({order_id})).get(order_id)
            return order, await tx.events.of_orders({order_id})
