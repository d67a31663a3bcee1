from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from attrs import evolve, frozen

from adapters.codecs.events import encode
from adapters.memory.store import Changes, Lease
from application.ports.outbox import LEASE_SECONDS, OutboxEntry, Waits
from domain.ids import OrderId
from domain.orders.events import Event, EventId, event_id

RELAY: Final = "relay"
_LEASE: Final = timedelta(seconds=LEASE_SECONDS)


def take_lease(changes: Changes, name: str, by: str) -> bool:
    now, lease = changes.store.now(), changes.leases.get(name)
    # A lease that ends later than one that begins now is void: the clock was set back after it was taken.
    lasts = lease is not None and now < lease.until <= now + _LEASE
    if lease is not None and lasts and lease.holder != by:
        return False
    changes.leases[name] = Lease(by, lease.since if lease is not None and lasts else now, now + _LEASE)
    return True


def release_lease(changes: Changes, name: str, by: str) -> None:
    lease = changes.leases.get(name)
    if lease is not None and lease.holder == by:
        # Nobody renews it, as if it had never been.
        changes.leases[name] = evolve(lease, holder="", until=changes.store.now())


@frozen
class MemoryOutbox:
    _changes: Changes

    async def claim(self, *, by: str, limit: int) -> list[OutboxEntry]:
        if not take_lease(self._changes, RELAY, by):
            return []
        here = [entry for entry in self._changes.store.outbox.values() if entry.position not in self._changes.sent]
        first: dict[OrderId, int] = {}
        for position, each in sorted(self._changes.waiting_announcements().items()):
            first.setdefault(each.announcement.entry.id.order_id, position)
        return [
            evolve(entry, first_put_off=first[entry.id.order_id]) if entry.id.order_id in first else entry
            for entry in here[:limit]
        ]

    async def renew(self, *, by: str) -> bool:
        lease = self._changes.leases.get(RELAY)
        if lease is None or lease.holder != by:
            return False
        self._changes.leases[RELAY] = evolve(lease, until=self._changes.store.now() + _LEASE)
        return True

    async def release(self, *, by: str) -> None:
        release_lease(self._changes, RELAY, by)

    async def remove(self, entries: Sequence[OutboxEntry]) -> None:
        self._changes.sent.update(entry.position for entry in entries)

    async def re_enqueue(self, events: Sequence[Event]) -> None:
        here = {(entry.id, entry.body) for entry in self._changes.store.outbox.values()}
        here |= {(entry.id, entry.body) for entry in self._changes.work_that_waits().values()}
        missing = [event for event in events if (event_id(event), encode(event)) not in here]
        self._changes.sending.extend(missing)
        self._changes.committed.outbox |= bool(missing)

    async def page(self, *, after: int | None, limit: int) -> list[OutboxEntry]:
        return [entry for position, entry in self._changes.store.outbox.items() if position > (after or 0)][:limit]

    async def waiting(self, order_id: OrderId) -> dict[EventId, Waits]:
        announcements = (each.announcement.entry for each in self._changes.waiting_announcements().values())
        places = {
            Waits.PUT_OFF: announcements,
            Waits.OUTBOX: self._changes.store.outbox.values(),
            Waits.AT_ITS_QUEUE: self._changes.work_that_waits().values(),
        }
        return {
            entry.id: where for where, entries in places.items() for entry in entries if entry.id.order_id == order_id
        }
