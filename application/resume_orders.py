from datetime import timedelta

from attrs import field, frozen

from application.ports import Clock, UnitOfWork
from domain.events import Event, PaymentRequested, RefundRequested
from domain.ids import OrderId


@frozen
class ResumeOrders:
    """Announce again the requests of orders that have waited for the worker too long: the broker may have lost them.

    A request that is not lost is brought twice then, which changes nothing. Return how many were announced.
    """

    _unit_of_work: UnitOfWork
    _now: Clock
    _page: int = field(default=500, kw_only=True)

    async def __call__(self, *, idle: timedelta) -> int:
        moment = self._now() - idle
        resumed = 0
        last: OrderId | None = None
        while True:
            async with self._unit_of_work() as tx:
                ids = await tx.orders.waiting_since(moment, after=last, limit=self._page)
                if not ids:
                    return resumed
                requests: dict[OrderId, Event] = {}
                for event in await tx.events.of_orders(ids):
                    if isinstance(event, PaymentRequested | RefundRequested):
                        requests[event.order_id] = event
                await tx.outbox.put_back(list(requests.values()))
            resumed += len(requests)
            last = ids[-1]
