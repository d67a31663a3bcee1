from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter

from attrs import frozen

from adapters.memory.repositories.outbox import RELAY
from adapters.memory.store import Changes
from application.ports.outbox import LONGEST_DELAY, Announcement, OutboxEntry


@frozen
class MemoryAnnouncements:
    _changes: Changes

    async def put_off(self, announcements: Sequence[Announcement]) -> None:
        self._changes.announcements.update({each.entry.position: each for each in announcements})

    async def remove(self, entries: Sequence[OutboxEntry]) -> None:
        self._changes.announcements.update(dict.fromkeys(entry.position for entry in entries))

    async def due(self, moment: datetime, *, by: str, limit: int) -> list[Announcement]:
        lease = self._changes.leases.get(RELAY)
        if lease is None or lease.holder != by:
            return []
        waiting = self._changes.waiting_announcements().values()
        by_time = sorted(waiting, key=attrgetter("not_before"))
        past = [each for each in by_time if each.not_before <= moment][:limit]
        void = [each for each in by_time if each.not_before > moment + LONGEST_DELAY][:limit]
        orders = {each.entry.id.order_id for each in (*past, *void)}
        return sorted(
            (each for each in waiting if each.entry.id.order_id in orders),
            key=lambda each: (each.entry.id.order_id, each.entry.position),
        )
