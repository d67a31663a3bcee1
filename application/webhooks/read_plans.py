"""What the plans of rounds need is read here, in one transaction for all of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import define, field

from application.errors import BrokenRow, LaterRelease, Trouble
from application.execution.repeated_look import RepeatedLook
from application.ports.feed import FED_TYPES, FeedBounds, FeedItem, FeedRange, Position, types_among
from application.ports.persistence import Transaction
from application.webhooks.planning import LOOK_AT_ALL, Plan, Read, plan, size_of
from application.webhooks.rounds import Ended
from domain.ids import EndpointId
from domain.orders.events import Event, EventId, event_id
from domain.webhooks.delivery import Delivery, DeliveryId
from domain.webhooks.endpoint import Endpoint, Ordering
from domain.webhooks.progress import Progress

# Events that are read at once for all endpoints at the same position.
_PAGE: Final = 512


async def plans(
    tx: Transaction, taken: Sequence[Progress], now: datetime, looks: Mapping[EndpointId, RepeatedLook]
) -> tuple[list[Plan], list[Ended]]:
    """Plan each round. An endpoint of which something can't be read ends with the error, and holds up no other."""
    pages = _Pages(tx, await tx.feed.bounds())
    reading = _Reading(tx, now, pages, looks)
    endpoints, failed = await _endpoints(tx, [progress.endpoint_id for progress in taken])
    made: list[Plan] = []
    for progress in taken:
        if (endpoint := endpoints.get(progress.endpoint_id)) is None:
            continue
        try:
            made.append(await reading.plan(endpoint, progress))
        except Exception as error:
            if isinstance(error, Trouble) and not isinstance(error, LaterRelease):
                raise
            failed.append(Ended(endpoint.id, error=error))
    return made, failed


async def _endpoints(tx: Transaction, ids: Sequence[EndpointId]) -> tuple[dict[EndpointId, Endpoint], list[Ended]]:
    """The endpoints, all at once, or one by one if one of them can't be read."""
    try:
        return await tx.webhook_endpoints.get_many(ids), []
    except BrokenRow:
        pass
    found: dict[EndpointId, Endpoint] = {}
    failed: list[Ended] = []
    for id_ in ids:
        try:
            found |= await tx.webhook_endpoints.get_many([id_])
        except BrokenRow as error:
            failed.append(Ended(id_, error=error))
    return found, failed


@define(eq=False)
class _Pages:
    """The feed after some positions. Most endpoints are at the same one, so that one page serves them all."""

    _tx: Transaction
    bounds: FeedBounds
    _read: dict[int, tuple[Sequence[FeedItem], int]] = field(factory=dict, init=False)

    async def after(self, position: int) -> tuple[Sequence[FeedItem], int]:
        """Some events after a position, and the position up to which they are all."""
        after, newest = max(position, self.bounds.oldest - 1), self.bounds.newest
        if after not in self._read:
            of = FeedRange(after=Position(after), until=newest)
            items = await self._tx.feed.read(of, limit=_PAGE) if after < newest else []
            self._read[after] = (items, items[-1].position if len(items) == _PAGE else max(after, newest))
        return self._read[after]


@define(eq=False)
class _Reading:
    """Reads what the plan of one round after another needs. `looks` are those for deliveries that are due."""

    _tx: Transaction
    _now: datetime
    _pages: _Pages
    _looks: Mapping[EndpointId, RepeatedLook]

    async def plan(self, endpoint: Endpoint, progress: Progress) -> Plan:
        tx, now = self._tx, self._now
        size = size_of(endpoint, progress, at=now)
        items, read_to = await self._pages.after(progress.position)
        due: Sequence[Delivery] = []
        undelivered: Sequence[Delivery] = []
        look = self._looks[endpoint.id]
        # Whatever changes deliveries has the lock of their endpoint's progress, and makes none due before its own time.
        since = look.begin(now, whole_every=LOOK_AT_ALL, late_commit=timedelta(0))
        if progress.due_at is not None and size > 0:
            due = await tx.webhook_deliveries.due(endpoint.id, now, since=since, limit=size)
            look.end(now, since, nothing_before=min([now, *(each.next_at for each in due if each.next_at)]))
        if progress.is_troubled and endpoint.ordering is Ordering.STRICT:
            orders = {each.order_id for each in due} | {item.event.order_id for item in items}
            undelivered = await tx.webhook_deliveries.undelivered(endpoint.id, orders)
        read = Read(
            now=now,
            wanted=types_among(FED_TYPES, endpoint.events),
            due=due,
            events=await _events_of(tx, due),
            undelivered=undelivered,
            items=items,
            read_to=read_to,
            oldest=self._pages.bounds.oldest,
        )
        made = plan(endpoint, progress, read)
        made.nothing_before = since
        return made


async def _events_of(tx: Transaction, deliveries: Sequence[Delivery]) -> dict[DeliveryId, Event]:
    """From the history of their orders, which is kept for longer than the feed may be."""
    if not deliveries:
        return {}
    history = await tx.events.of_orders({delivery.order_id for delivery in deliveries})
    events = {event_id(event): event for event in history}
    found = {each.id: events.get(EventId(each.order_id, each.sequence)) for each in deliveries}
    return {id_: event for id_, event in found.items() if event is not None}
