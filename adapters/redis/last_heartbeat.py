from datetime import datetime
from typing import Final

from attrs import frozen

from adapters.redis.client import GuardedRedis

_TTL_MS: Final = 7 * 24 * 3600 * 1000


@frozen
class RedisLastHeartbeat:
    """When a program of the shop was heard of the last time, by the clock of the database, and apart from it."""

    _redis: GuardedRedis
    _namespace: str = "holdfast"

    async def note(self, at: datetime) -> None:
        await self._redis.write("SET", self._key, at.isoformat(), "PX", _TTL_MS)

    async def get(self) -> datetime | None:
        found = await self._redis.read("MGET", self._key)
        try:
            return datetime.fromisoformat(found[0].decode()) if found and found[0] else None
        except (AttributeError, ValueError):
            # This release did not write it.
            return None

    @property
    def _key(self) -> str:
        return f"{self._namespace}:heartbeat"
