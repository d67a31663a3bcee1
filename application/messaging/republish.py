from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from attrs import define, field, frozen

from application.errors import Trouble
from application.execution.batching import each_alone
from application.execution.repeated_look import RepeatedLook
from application.ports.environment import Clock
from application.ports.persistence import UnitOfWork, WaitingPlace
from domain.ids import OrderId
from domain.orders.events import Event, PaymentRequested, RefundRequested

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
# An order that is dated in the future has its turn once in as many times `idle`.
_TURNS: Final = 8
# And so has one that has waited for longer than that, or is dated so far back because a clock was wrong.
_LAST_TURNS: Final = 64
# One look in so many is at all orders: the first one, and one an hour where they are ten minutes apart.
_WHOLE_LOOK: Final = 6


@frozen
class Republished:
    """How many requests were republished, and which orders could not be read or written, with the reason."""

    count: int
    failed: tuple[tuple[OrderId, Exception], ...]


@define(eq=False)
class RepublishRequests:
    """Republish the requests of orders that have waited for the worker too long: the broker may have lost them.

    A request that was not lost is then delivered twice, which changes nothing. One that is still in the outbox stays
    there once. An order that fails does not stop the others. One that a process with a slow clock has changed may be
    found some looks later than the others.
    """

    _unit_of_work: UnitOfWork
    _now: Clock
    _page: int = field(default=500, kw_only=True)
    _look: RepeatedLook = field(factory=RepeatedLook, init=False)

    async def __call__(self, *, idle: timedelta) -> Republished:
        """Raise `Trouble` if the database is gone."""
        now = self._now()
        oldest = moment = now - idle
        since = self._look.begin(moment, whole_every=_WHOLE_LOOK * idle)
        count = 0
        failed: list[tuple[OrderId, Exception]] = []
        last: WaitingPlace | None = None
        while places := await self._waiting(moment, since, now + idle, last):
            oldest = min(oldest, places[0][0])
            ids = [id_ for _, id_ in places]
            outcomes = await each_alone(partial(self._republish, idle), ids)
            for order_id, outcome in zip(ids, outcomes, strict=True):
                if isinstance(outcome, Trouble):
                    raise outcome
                if isinstance(outcome, Exception):
                    failed.append((order_id, outcome))
                else:
                    count += outcome
            last = places[-1]
        self._look.end(moment, since, nothing_before=oldest)
        return Republished(count, tuple(failed))

    async def _waiting(
        self, moment: datetime, since: datetime | None, ahead: datetime, last: WaitingPlace | None
    ) -> list[WaitingPlace]:
        async with self._unit_of_work.reading() as tx:
            return await tx.orders.waiting_since(moment, since=since, ahead=ahead, after=last, limit=self._page)

    async def _republish(self, idle: timedelta, ids: Sequence[OrderId]) -> list[bool]:
        """Return for each order whether its request was republished."""
        async with self._unit_of_work() as tx:
            orders = await tx.orders.get_many(ids)
            due = [id_ for id_ in ids if id_ in orders and _is_due(orders[id_].updated_at, self._now(), idle)]
            requests = last_requests(await tx.events.of_orders(due))
            await tx.outbox.re_enqueue(list(requests.values()))
        return [id_ in requests for id_ in ids]


def last_requests(events: Sequence[Event]) -> dict[OrderId, PaymentRequested | RefundRequested]:
    """The last request of each order to the worker. The events are in the order of their sequence numbers."""
    return {event.order_id: event for event in events if isinstance(event, PaymentRequested | RefundRequested)}


def _is_due(since: datetime, now: datetime, idle: timedelta) -> bool:
    """True after `idle`, after two, four, ... times as long, and later once in 64 times `idle`.

    A stuck order must not fill the queues. It is true once for each of these spans, if the calls are `idle` apart. An
    order that is dated in the future, or far back, says nothing of how long it has waited: a clock may have been wrong.
    It has its turn now and then, as long as it waits.
    """
    if not idle:
        return True
    if since > now:
        return (now - _EPOCH) // idle % _TURNS == 0
    spans = (now - since) // idle
    return spans > 0 and (spans & (spans - 1) == 0 or spans % _LAST_TURNS == 0)
