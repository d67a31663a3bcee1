from collections.abc import Awaitable, Callable, Sequence

from attrs import frozen

from application.access.principal import Principal
from application.ports.broken import BrokenOrder, sound
from application.ports.caching import RecentOrders
from application.ports.persistence import UnitOfWork
from domain.ids import CustomerId, OrderId
from domain.orders.order import Order
from domain.orders.status import OrderStatus


@frozen
class OrdersPage:
    """Which part of the list of orders. A page begins after the order `before`, the last one of the previous page."""

    user_id: CustomerId | None
    status: OrderStatus | None
    before: OrderId | None
    limit: int


@frozen
class ReadOrders:
    """Read a page of orders, newest first, with those that are broken."""

    _unit_of_work: UnitOfWork
    _recent: RecentOrders

    async def __call__(self, page: OrdersPage) -> Sequence[Order | BrokenOrder]:
        async with self._unit_of_work.reading() as tx:
            found = await tx.orders.page(user_id=page.user_id, status=page.status, before=page.before, limit=page.limit)
        # A client that has seen an order here must not read an older version of it afterwards.
        await self._recent.put_many(sound(found))
        return found


@frozen
class ListOrders:
    """List orders, newest first. A customer gets its own orders. Raise `Forbidden` if it asks for another customer's.

    Callers that ask for the same page at once get the same orders, and must not change them.
    """

    # `ReadOrders`, shared.
    _read: Callable[[OrdersPage], Awaitable[Sequence[Order | BrokenOrder]]]

    async def __call__(
        self,
        by: Principal,
        *,
        user_id: CustomerId | None = None,
        status: OrderStatus | None = None,
        before: OrderId | None = None,
        limit: int,
    ) -> Sequence[Order | BrokenOrder]:
        return await self._read(OrdersPage(by.whose(user_id), status, before, limit))
