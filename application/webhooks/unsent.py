"""What receivers will still be sent of an order."""

from collections.abc import Mapping, Sequence

from attrs import frozen

from application.access.principal import Principal
from application.ports.feed import FED_TYPES, FeedFilter, FeedRange, Position, types_among
from application.ports.persistence import UnitOfWork
from application.webhooks.endpoints import MOST_ENDPOINTS, Standing
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
            endpoints = await tx.webhook_endpoints.page(after=None, limit=MOST_ENDPOINTS)
            progress = await tx.webhook_progress.get_many({endpoint.id for endpoint in endpoints})
            types = {event.type for event in await tx.events.of_orders({order_id})}
            newest = (await tx.feed.bounds()).newest
            order = FeedRange(after=Position(0), until=newest, only=FeedFilter(order_id=order_id))
            items = await tx.feed.read(order, limit=_MOST_EVENTS)
        waiting: list[Standing] = []
        is_wanted = False
        for endpoint in endpoints:
            wanted, far = types_among(FED_TYPES, endpoint.events), progress.get(endpoint.id)
            is_wanted |= not types.isdisjoint(wanted)
            if far is None:
                continue
            if any(item.position > far.passed and item.event.type in wanted for item in items):
                waiting.append(Standing(endpoint, far, newest))
        slowest_first = sorted(waiting, key=lambda each: each.progress.position)
        return Unsent(slowest_first, is_wanted, {endpoint.id: endpoint.url for endpoint in endpoints})
