from collections.abc import Collection

from attrs import frozen

from adapters.memory.store import Changes
from domain.orders.events import EventId


@frozen
class MemoryInbox:
    _changes: Changes

    async def unseen(self, consumer: str, ids: Collection[EventId]) -> set[EventId]:
        committed, own = self._changes.store.inbox, self._changes.inbox
        return {id_ for id_ in ids if (consumer, id_) not in committed and (consumer, id_) not in own}

    async def record(self, consumer: str, ids: Collection[EventId]) -> set[EventId]:
        fresh = await self.unseen(consumer, ids)
        self._changes.inbox.update((consumer, id_) for id_ in fresh)
        return fresh
