from typing import Any, Final

from attrs import define

from adapters.redis.client import GuardedRedis, Script
from adapters.redis.connections import Argument
from application.ports.caching import DatabaseMark

# The mark outlives all entries, also while the database is away for days and none is taken.
_TTL_MS: Final = 7 * 24 * 3600 * 1000

# KEYS: the mark, then the epochs of the caches. ARGV: the mark that was read, empty if there was none; the new mark;
# its time to live; 1 to invalidate. Any other value under its key counts as a missing mark: MGET, unlike GET, does not
# refuse to read a value of another type.
_CHANGE: Final = Script(
    """
local known = redis.call('MGET', KEYS[1])[1]
if not known or not string.match(known, '^%d+ ') then
    known = ''
end
if known ~= ARGV[1] then
    return 0
end
if ARGV[4] == '1' then
    for i = 2, #KEYS do
        redis.call('DEL', KEYS[i])
    end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
)


@define(eq=False)
class RedisCacheOwner:
    """The database that all entries in Redis under a namespace come from.

    If there is no mark, nobody knows where the entries come from, and they are invalidated.
    """

    _redis: GuardedRedis
    _namespace: str = "holdfast"

    async def get(self) -> DatabaseMark | None:
        found = await self._redis.read("MGET", self._key)
        return _mark(found[0]) if found else None

    async def change(self, mark: DatabaseMark, *, since: DatabaseMark | None) -> None:
        continues = since is not None and mark.continues(since)
        arguments: list[Argument] = [_text(since) if since else b"", _text(mark), _TTL_MS, 0 if continues else 1]
        await self._redis.run(_CHANGE, [self._key, *self._redis.epoch_keys], arguments)

    @property
    def _key(self) -> str:
        return f"{self._namespace}:database"


def _text(mark: DatabaseMark) -> bytes:
    return f"{mark.position} {mark.identity}".encode()


def _mark(text: Any) -> DatabaseMark | None:
    try:
        position, _, identity = text.decode().partition(" ")
        return DatabaseMark(identity, int(position))
    except (AttributeError, ValueError):
        # Nothing, or something that this release did not write.
        return None
