from datetime import datetime

from attrs import frozen

from adapters.memory.store import Changes


@frozen
class MemoryShop:
    _changes: Changes

    async def emptied_at(self) -> datetime | None:
        return self._changes.store.reset_at

    async def secret(self) -> bytes:
        return self._changes.store.secret
