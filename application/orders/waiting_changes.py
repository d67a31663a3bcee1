from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from application.execution.conditional import OrderCall, order_id_in
from application.ports.persistence import UnitOfWork
from domain.jobs.job import Job
from domain.orders.order import Order


@frozen
class OrderWithChanges:
    """An order, which may not be recorded yet, and its changes that were accepted and are not made, oldest first."""

    order: Order
    waiting: Sequence[Job]


@frozen
class ShowWaitingChanges:
    """Read an order with the changes that wait for it. Raise `UnknownOrder`."""

    _unit_of_work: UnitOfWork
    _get_order: Callable[[OrderCall], Awaitable[Order]]

    async def __call__(self, call: OrderCall) -> OrderWithChanges:
        # Before the order is read: a change that is made between the two reads is then seen twice, and not missed.
        async with self._unit_of_work.reading() as tx:
            waiting = await tx.jobs.changes_of({order_id_in(call)})
        return OrderWithChanges(await self._get_order(call), waiting)
