import asyncio
from collections.abc import Sequence

from attrs import frozen

from adapters.codecs.events import encode
from application.ports.messaging import EventPublisher
from application.ports.persistence import OutboxEntry
from domain.ids import OrderId
from domain.orders.events import OrderAccepted, event_id


@frozen
class PublishedIntake:
    """Accepted orders go the way of every event, but for the outbox: that is in the database, which may be gone."""

    _publisher: EventPublisher

    async def put_many(self, accepted: Sequence[OrderAccepted]) -> set[OrderId]:
        entries = [
            OutboxEntry(position, event_id(event), event.type, encode(event)) for position, event in enumerate(accepted)
        ]
        # It goes on without its caller, who may have little time: a connection is to be opened for the next one, and
        # one that stays silent to be given up. What becomes of it then is nobody's concern.
        sending = asyncio.ensure_future(self._publisher.publish(entries))
        sending.add_done_callback(lambda done: done.cancelled() or done.exception())
        return {entry.id.order_id for entry in await asyncio.shield(sending)}
