from collections.abc import Sequence

from attrs import frozen

from adapters.memory.repositories.outbox import RELAY
from adapters.memory.store import Changes
from application.ports.outbox import OutboxEntry


@frozen
class MemoryWaitingWork:
    _changes: Changes

    async def put_off(self, entries: Sequence[OutboxEntry]) -> None:
        self._changes.waiting_work.update({each.position: each for each in entries})

    async def remove(self, entries: Sequence[OutboxEntry]) -> None:
        self._changes.waiting_work.update(dict.fromkeys(each.position for each in entries))

    async def oldest(self, type_: str, *, by: str, limit: int) -> list[OutboxEntry]:
        lease = self._changes.leases.get(RELAY)
        if lease is None or lease.holder != by:
            return []
        return [each for each in self._changes.work_that_waits().values() if each.type == type_][:limit]

    async def page(self, *, after: int | None, limit: int) -> list[OutboxEntry]:
        waiting = self._changes.work_that_waits()
        return [each for position, each in waiting.items() if position > (after or 0)][:limit]
