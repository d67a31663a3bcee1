from collections.abc import Mapping, Sequence

from attrs import frozen

from application.execution.conditional import OrderCall, expect, order_id_in
from application.intake.unrecorded import NotYetRecorded, Unrecorded
from application.orders.changing import existing
from application.ports.caching import RecentOrders
from application.ports.persistence import UnitOfWork
from domain.errors import UnknownOrder
from domain.ids import OrderId, PaymentId
from domain.orders.events import Event, PaymentRequested
from domain.orders.order import Order
from domain.payments.payment import Payment


@frozen
class ExpandedOrder:
    """An order with its history and its payments, all of one moment."""

    order: Order
    history: Sequence[Event]
    payments: Mapping[PaymentId, Payment]


@frozen
class ExpandOrder:
    """Read an order with its history and its payments. Raise `UnknownOrder`, `NotYetRecorded` or `Unavailable`."""

    _unit_of_work: UnitOfWork
    _recent: RecentOrders
    _unrecorded: Unrecorded

    async def __call__(self, call: OrderCall) -> ExpandedOrder:
        order_id = order_id_in(call)
        found = await self._read(order_id)
        if found is None:
            accepted = await self._unrecorded.get(order_id)
            if accepted is not None:
                expect(call, accepted)
                raise NotYetRecorded(order_id)
            # It may have been recorded between the two reads.
            found = await self._read(order_id)
        if found is None:
            raise UnknownOrder(f"there is no order {order_id}")
        order = existing(found.order, order_id)
        expect(call, order)
        # A client that has seen an order here must not read an older version of it afterwards.
        await self._recent.put_many([order])
        return found

    async def _read(self, order_id: OrderId) -> ExpandedOrder | None:
        async with self._unit_of_work.reading() as tx:
            order = (await tx.orders.get_many({order_id})).get(order_id)
            if order is None:
                return None
            history = await tx.events.of_orders({order_id})
            # Each payment was requested by an event.
            asked = {event.payment_id for event in history if isinstance(event, PaymentRequested)}
            return ExpandedOrder(order, history, await tx.payments.get_many(asked))
