import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from attrs import frozen

from adapters.codecs.events import encode
from application.ports.messaging import EventPublisher
from application.ports.outbox import OutboxEntry
from domain.ids import JobId, OrderId
from domain.orders.events import OrderAccepted, OrderChangeAccepted, event_id

E = TypeVar("E", OrderAccepted, OrderChangeAccepted)


@frozen
class PublishedIntake:
    """Enqueues what is accepted like any work, but without the outbox: the database may be gone."""

    _publisher: EventPublisher
    # Whether nothing waits in the queue, and no consumer has anything of it.
    _is_empty: Callable[[], Awaitable[bool]]

    async def put_many(self, accepted: Sequence[OrderAccepted]) -> set[OrderId]:
        return {event.order_id for event in await self._put(accepted)}

    async def put_changes(self, accepted: Sequence[OrderChangeAccepted]) -> set[JobId]:
        return {event.job_id for event in await self._put(accepted)}

    async def _put(self, accepted: Sequence[E]) -> list[E]:
        entries = [
            OutboxEntry(position, event_id(event), event.type, encode(event)) for position, event in enumerate(accepted)
        ]
        # The call goes on if the caller is cancelled by its timeout. So a new connection is still opened for the
        # next call, and a dead one is still detected. Its outcome is then ignored.
        sending = asyncio.ensure_future(self._publisher.enqueue(entries))
        sending.add_done_callback(lambda done: done.cancelled() or done.exception())
        return [accepted[entry.position] for entry in await asyncio.shield(sending)]

    async def is_empty(self) -> bool:
        return await self._is_empty()
