from collections.abc import Sequence
from datetime import timedelta
from operator import attrgetter
from typing import Final

from attrs import evolve, frozen

from adapters.memory.repositories.outbox import RELAY
from adapters.memory.store import Changes, KeptAnnouncement
from application.ports.outbox import LONGEST_DELAY, Announcement, OutboxEntry

_NONE: Final = timedelta(0)


@frozen
class MemoryAnnouncements:
    _changes: Changes

    async def put_off(self, announcements: Sequence[Announcement]) -> None:
        now = self._changes.store.now()
        self._changes.announcements.update(
            {
                each.entry.position: KeptAnnouncement(evolve(each, delay=_NONE), now + each.delay)
                for each in announcements
            }
        )

    async def remove(self, entries: Sequence[OutboxEntry]) -> None:
        self._changes.announcements.update(dict.fromkeys(entry.position for entry in entries))

    async def due(self, *, within: timedelta, by: str, limit: int) -> list[Announcement]:
        lease = self._changes.leases.get(RELAY)
        if lease is None or lease.holder != by:
            return []
        waiting = self._changes.waiting_announcements().values()
        by_time = sorted(waiting, key=attrgetter("not_before"))
        now = self._changes.store.now()
        past = [each for each in by_time if each.not_before <= now + within][:limit]
        void = [each for each in by_time if each.not_before > now + LONGEST_DELAY][:limit]
        orders = {each.announcement.entry.id.order_id for each in (*past, *void)}
        return sorted(
            (each.announcement for each in waiting if each.announcement.entry.id.order_id in orders),
            key=lambda each: (each.entry.id.order_id, each.entry.position),
        )
