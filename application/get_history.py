from collections.abc import Sequence

from attrs import frozen

from application.changing import existing
from application.ports import UnitOfWork
from domain.events import Event
from domain.ids import OrderId


@frozen
class GetHistory:
    """What happened to one order, in order. Raise `UnknownOrder`."""

    _unit_of_work: UnitOfWork

    async def __call__(self, order_id: OrderId) -> Sequence[Event]:
        async with self._unit_of_work.reading() as tx:
            existing((await tx.orders.get_many({order_id})).get(order_id), order_id)
            return await tx.events.of_orders({order_id})
