"""What receivers will still be sent of an order."""

from collections.abc import Mapping, Sequence

from attrs import frozen

from application.access.principal import Principal
from application.ports.broken import BrokenEndpoint, apart
from application.ports.feed import FED_TYPES, FeedFilter, FeedRange, Position, types_among
from application.ports.persistence import UnitOfWork
from application.webhooks.endpoints import MOST_ENDPOINTS
from application.webhooks.standing import Standing, each_standing
from domain.ids import EndpointId, OrderId

# More than an order ever has.
_MOST_EVENTS = 200


@frozen
class Unsent:
    """The receivers that have not got to an event of an order yet which they want, the slowest first.

    `is_wanted`: some receiver wants events of types that the order has, whether it was there in time or not.
    `receivers` has the addresses of all that there are.
    """

    waiting: Sequence[Standing]
    is_wanted: bool
    receivers: Mapping[EndpointId, str]


@frozen
class SeeUnsent:
    """Tell who is still to be sent events of an order. An event that has no position yet is left out."""

    _unit_of_work: UnitOfWork

    async def __call__(self, _: Principal, order_id: OrderId) -> Unsent:
        async with self._unit_of_work.reading() as tx:
            found = await tx.webhook_endpoints.page(after=None, limit=MOST_ENDPOINTS)
            # The list of endpoints tells which can't be read. They are sent nothing.
            standings, _broken = apart([each async for each in each_standing(tx, found)], BrokenEndpoint)
            types = {event.type for event in await tx.events.of_orders({order_id})}
            newest = (await tx.feed.bounds()).newest
            order = FeedRange(after=Position(0), until=newest, only=FeedFilter(order_id=order_id))
            items = await tx.feed.read(order, limit=_MOST_EVENTS)
        waiting: list[Standing] = []
        is_wanted = False
        for each in standings:
            wanted = types_among(FED_TYPES, each.endpoint.events)
            is_wanted |= not types.isdisjoint(wanted)
            if any(item.position > each.progress.passed and item.event.type in wanted for item in items):
                waiting.append(each)
        slowest_first = sorted(waiting, key=lambda each: each.progress.position)
        return Unsent(slowest_first, is_wanted, {each.id: each.endpoint.url for each in standings})
