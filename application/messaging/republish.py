from collections.abc import Sequence
from datetime import timedelta

from attrs import field, frozen

from application.ports.environment import Clock
from application.ports.persistence import UnitOfWork
from domain.ids import OrderId
from domain.orders.events import Event, PaymentRequested, RefundRequested


@frozen
class RepublishRequests:
    """Republish the requests of orders that have waited for the worker too long: the broker may have lost them.

    A request that was not lost is then delivered twice, which changes nothing. One that is still in the outbox stays
    there once. Return how many were republished.
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
                orders = await tx.orders.get_many(ids)
                due = [id_ for id_ in ids if _is_due(self._now() - orders[id_].updated_at, idle)]
                requests = last_requests(await tx.events.of_orders(due))
                await tx.outbox.re_enqueue(list(requests.values()))
            resumed += len(requests)
            last = ids[-1]


def last_requests(events: Sequence[Event]) -> dict[OrderId, PaymentRequested | RefundRequested]:
    """The last request of each order to the worker. The events are in the order of their sequence numbers."""
    return {event.order_id: event for event in events if isinstance(event, PaymentRequested | RefundRequested)}


def _is_due(waited: timedelta, idle: timedelta) -> bool:
    """True after `idle`, and again after two, four, ... times as long: a stuck order must not fill the queues.

    It is true once for each of these spans, if the calls are `idle` apart.
    """
    if not idle:
        return True
    spans = waited // idle
    return spans > 0 and spans & (spans - 1) == 0
