from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from application.access.principal import Principal
from application.execution.conditional import OnlyIf, OrderCall
from application.ports.persistence import UnitOfWork
from domain.ids import JobId, OrderId
from domain.message import Message
from domain.orders.order import Order


@frozen
class ListMessages:
    """A page of messages, newest first: of one order, or of all. Raise `UnknownOrder`."""

    _unit_of_work: UnitOfWork
    _get_order: Callable[[OrderCall], Awaitable[Order]]

    async def __call__(
        self, by: Principal, *, order_id: OrderId | None, before: JobId | None, limit: int
    ) -> Sequence[Message]:
        if order_id is None:
            by.expect_shop()
        else:
            await self._get_order(OnlyIf(order_id, owner=by.user_id))
        async with self._unit_of_work.reading() as tx:
            return await tx.messages.page(order_id=order_id, before=before, limit=limit)
