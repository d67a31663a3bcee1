from datetime import datetime

from attrs import frozen

from adapters.memory.store import Changes


@frozen
class MemoryResets:
    _changes: Changes

    async def last(self) -> datetime | None:
        return self._changes.store.reset_at
