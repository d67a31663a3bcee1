from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from attrs import evolve, frozen

from adapters.memory.overlay import Overlay
from application.errors import Aborted
from application.ports.api_keys import ApiKey


@frozen
class MemoryApiKeys:
    _keys: Overlay[str, ApiKey]

    async def add_many(self, keys: Sequence[ApiKey]) -> None:
        for key in keys:
            if key.id in self._keys:
                raise Aborted(f"another key has the id {key.id}")
            self._keys[key.id] = key

    async def get_many(
        self,
        ids: Collection[str],
        *,
        lock: bool = False,  # noqa: ARG002 - the only writer has locked everything
    ) -> dict[str, ApiKey]:
        return {id_: self._keys[id_] for id_ in sorted(ids) if id_ in self._keys}

    async def save_many(self, keys: Sequence[ApiKey]) -> None:
        for key in keys:
            self._keys[key.id] = evolve(self._keys[key.id], expires_at=key.expires_at, revoked_at=key.revoked_at)

    async def note_use(self, ids: Collection[str], *, at: datetime, every: timedelta) -> None:
        for key in (self._keys[id_] for id_ in ids if id_ in self._keys):
            if key.last_used_at is None or key.last_used_at <= at - every:
                self._keys[key.id] = evolve(key, last_used_at=at)

    async def page(self, *, after: str | None, limit: int) -> list[ApiKey]:
        return [key for id_, key in sorted(self._keys.items()) if id_ > (after or "")][:limit]
