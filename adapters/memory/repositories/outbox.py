from collections.abc import Sequence

from attrs import frozen

from adapters.memory.store import Changes
from application.ports.persistence import OutboxEntry
from domain.orders.events import Event, event_id


@frozen
class MemoryOutbox:
    _changes: Changes

    async def claim(
        self,
        *,
        by: str,  # noqa: ARG002 - a store in memory has one process, and so one relay
        limit: int,
    ) -> list[OutboxEntry]:
        waiting = self._changes.store.outbox.items()
        return [entry for position, entry in waiting if position not in self._changes.sent][:limit]

    async def release(self, *, by: str) -> None:
        """Do nothing: there is only one relay."""

    async def remove(self, entries: Sequence[OutboxEntry]) -> None:
        self._changes.sent.update(entry.position for entry in entries)

    async def re_enqueue(self, events: Sequence[Event]) -> None:
        here = {entry.id for entry in self._changes.store.outbox.values()}
        missing = [event for event in events if event_id(event) not in here]
        self._changes.sending.extend(missing)
        self._changes.committed.events |= bool(missing)

    async def page(self, *, after: int | None, limit: int) -> list[OutboxEntry]:
        return [entry for position, entry in self._changes.store.outbox.items() if position > (after or 0)][:limit]
