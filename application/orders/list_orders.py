from collections.abc import Sequence

from attrs import frozen

from application.access.principal import Principal
from application.ports.caching import RecentOrders
from application.ports.persistence import UnitOfWork
from domain.ids import CustomerId, OrderId
from domain.orders.order import Order
from domain.orders.status import OrderStatus


@frozen
class ListOrders:
    """List orders, newest first. A page begins after the order `before`, the last one of the previous page.

    A customer gets its own orders. Raise `Forbidden` if it asks for another customer's.
    """

    _unit_of_work: UnitOfWork
    _recent: RecentOrders

    async def __call__(
        self,
        by: Principal,
        *,
        user_id: CustomerId | None = None,
        status: OrderStatus | None = None,
        before: OrderId | None = None,
        limit: int,
    ) -> Sequence[Order]:
        user_id = by.whose(user_id)
        async with self._unit_of_work.reading() as tx:
            found = await tx.orders.page(user_id=user_id, status=status, before=before, limit=limit)
        # A client that has seen an order here must not read an older version of it afterwards.
        await self._recent.put_many(found)
        return found
