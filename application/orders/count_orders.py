from attrs import frozen

from application.access.principal import Principal
from application.ports.persistence import UnitOfWork


@frozen
class CountOrders:
    """Count orders, up to `most`: a customer's own, or all."""

    _unit_of_work: UnitOfWork

    async def __call__(self, by: Principal, *, most: int) -> int:
        async with self._unit_of_work.reading() as tx:
            return await tx.orders.count(user_id=by.user_id, most=most)
