from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from attrs import frozen

from adapters.memory.store import Changes, Lease
from application.ports.persistence import LEASE_SECONDS, OutboxEntry
from domain.orders.events import Event, event_id

_RELAY: Final = "relay"
_LEASE: Final = timedelta(seconds=LEASE_SECONDS)


@frozen
class MemoryOutbox:
    _changes: Changes

    async def claim(self, *, by: str, limit: int) -> list[OutboxEntry]:
        now, lease = self._changes.store.now(), self._changes.leases.get(_RELAY)
        # A lease that ends later than one that begins now is void: the clock was set back after it was taken.
        if lease is not None and lease.holder != by and now < lease.until <= now + _LEASE:
            return []
        self._changes.leases[_RELAY] = Lease(by, now + _LEASE)
        waiting = self._changes.store.outbox.items()
        return [entry for position, entry in waiting if position not in self._changes.sent][:limit]

    async def release(self, *, by: str) -> None:
        lease = self._changes.leases.get(_RELAY)
        if lease is not None and lease.holder == by:
            self._changes.leases[_RELAY] = Lease(by, self._changes.store.now())

    async def remove(self, entries: Sequence[OutboxEntry]) -> None:
        self._changes.sent.update(entry.position for entry in entries)

    async def re_enqueue(self, events: Sequence[Event]) -> None:
        here = {entry.id for entry in self._changes.store.outbox.values()}
        missing = [event for event in events if event_id(event) not in here]
        self._changes.sending.extend(missing)
        self._changes.committed.events |= bool(missing)

    async def page(self, *, after: int | None, limit: int) -> list[OutboxEntry]:
        return [entry for position, entry in self._changes.store.outbox.items() if position > (after or 0)][:limit]
