from collections.abc import Awaitable, Callable

from attrs import frozen

from application.access.principal import Principal
from application.execution.counting import MOST_COUNTED
from application.ports.persistence import UnitOfWork
from domain.ids import CustomerId
from domain.orders.status import OrderStatus


@frozen
class CountedOrders:
    """Which orders are counted, and up to how many."""

    user_id: CustomerId | None
    status: OrderStatus | None
    most: int


@frozen
class ReadCount:
    """Count the orders of a list."""

    _unit_of_work: UnitOfWork

    async def __call__(self, of: CountedOrders) -> int:
        async with self._unit_of_work.reading() as tx:
            return await tx.orders.count(user_id=of.user_id, status=of.status, most=of.most)


@frozen
class CountOrders:
    """Count the orders of a list, up to `most`. A customer counts its own. Raise `Forbidden` for another customer's."""

    # `ReadCount`, shared.
    _read: Callable[[CountedOrders], Awaitable[int]]

    async def __call__(
        self,
        by: Principal,
        *,
        user_id: CustomerId | None = None,
        status: OrderStatus | None = None,
        most: int = MOST_COUNTED,
    ) -> int:
        return await self._read(CountedOrders(by.whose(user_id), status, most))
