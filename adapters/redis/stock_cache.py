import random
from collections.abc import Collection, Mapping
from typing import Final

from attrs import define, field

from adapters.redis.client import RUN_BYTES, GuardedRedis, Script
from adapters.redis.epochs import EPOCH, begin_epoch
from application.ports.catalogue import StockLevel
from domain.ids import ProductId

# The value of a product is its version and its units, as in "17:5".
#
# KEYS: the stock. ARGV: the epoch in which it was read, or "" for what was committed; the run of the server; then for
# each product its id, version and units. Without an epoch nobody reads anything here.
_PUT: Final = Script(
    f"""
local epoch = redis.call('HGET', KEYS[1], '{EPOCH}')
if not epoch or (ARGV[1] ~= '' and ARGV[1] ~= epoch) then
    return 0
end
if string.sub(epoch, 1, {RUN_BYTES}) ~= ARGV[2] then
    redis.call('DEL', KEYS[1])
    return 0
end
for i = 3, #ARGV, 3 do
    local known = redis.call('HGET', KEYS[1], ARGV[i])
    local version = known and tonumber(string.match(known, '^%d+'))
    if not version or version < tonumber(ARGV[i + 1]) then
        redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1] .. ':' .. ARGV[i + 2])
    end
end
return 1
"""
)


@define(eq=False)
class RedisStockCache:
    """The stock of products that any process has listed, in one hash, all of which ends `ttl` seconds after it began.

    The end bounds how long a level is outdated whose change was missed: a process may die right after its commit.
    """

    _redis: GuardedRedis
    _namespace: str = "holdfast"
    _ttl: float = 5
    _key: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._key = f"{self._namespace}:stock"
        self._redis.invalidate_through(self._key)

    async def get_many(self, ids: Collection[ProductId]) -> tuple[str | None, dict[ProductId, StockLevel]]:
        wanted = list(ids)
        answer = await self._redis.read("HMGET", self._key, EPOCH, *wanted)
        if answer is None:
            return None, {}
        epoch, *entries = answer
        if not self._redis.is_current(epoch):
            return await self._begin_epoch(), {}
        found = {id_: _decoded(entry) for id_, entry in zip(wanted, entries, strict=True) if entry is not None}
        return epoch.decode(), {id_: level for id_, level in found.items() if level is not None}

    async def put_read(self, levels: Mapping[ProductId, StockLevel], *, epoch: str | None) -> None:
        if epoch is not None:
            await self._put(levels, epoch)

    async def put_committed(self, levels: Mapping[ProductId, StockLevel]) -> bool:
        return await self._put(levels, "")

    async def _put(self, levels: Mapping[ProductId, StockLevel], epoch: str) -> bool:
        arguments: list[str | int | bytes] = [epoch, self._redis.new_epoch()[:RUN_BYTES]]
        for id_, level in levels.items():
            arguments += (id_, level.version, level.units)
        return await self._redis.run(_PUT, [self._key], arguments) is not None

    async def _begin_epoch(self) -> str | None:
        ttl = self._ttl * random.uniform(0.8, 1)  # noqa: S311 - nothing is secret
        return await begin_epoch(self._redis, self._key, ttl=ttl)


def _decoded(entry: bytes) -> StockLevel | None:
    """None if this release can't read it."""
    version, _, units = entry.partition(b":")
    return StockLevel(int(version), int(units)) if version.isdigit() and units.isdigit() else None
