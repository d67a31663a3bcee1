from attrs import evolve, frozen

from application.access.principal import Principal
from application.ports.broken import sound
from application.ports.caching import RecentOrders
from application.ports.order_search import OrderFilter, OrdersFound
from application.ports.persistence import UnitOfWork
from domain.ids import OrderId


@frozen
class SearchOrders:
    """Search for orders, newest first. A page begins after the order `before`, where the previous page ended.

    A page looks at a bounded number of orders, so it may have fewer than `limit`, or none, while there are more. Every
    order is found as soon as it is recorded. A customer finds its own orders. Raise `Forbidden` for another customer's.
    """

    _unit_of_work: UnitOfWork
    _recent: RecentOrders

    async def __call__(
        self, by: Principal, wanted: OrderFilter, *, before: OrderId | None = None, limit: int
    ) -> OrdersFound:
        wanted = evolve(wanted, user_id=by.whose(wanted.user_id))
        async with self._unit_of_work.reading() as tx:
            # One more than is shown tells whether there is another.
            found = await tx.orders.search(wanted, before=before, limit=limit + 1)
        shown = found.orders[:limit]
        # A client that has seen an order here must not read an older version of it afterwards.
        await self._recent.put_many(sound(shown))
        return OrdersFound(shown, shown[-1].id if len(found.orders) > limit else found.looked_to)
