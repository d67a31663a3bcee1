import random
from collections.abc import Sequence
from typing import Final

import msgspec
from attrs import define, evolve, field

from adapters.redis.client import EPOCH_BYTES, GuardedRedis, Script
from application.ports.caching import CataloguePage
from domain.catalogue.product import Product

# The value of a page: its epoch, a digit for the shape of the JSON, and the products as JSON. A change of Product's
# fields needs another digit.
SHAPE: Final = b"1"
_HEAD_BYTES: Final = EPOCH_BYTES + len(SHAPE)

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(list[Product])

# KEYS: the epoch, the page. ARGV: the epoch that was current before the database was read, its time to live, the page,
# its time to live.
_PUT: Final = Script(
    """
if redis.call('GET', KEYS[1]) == ARGV[1] then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
end
return 1
"""
)


@define(eq=False)
class RedisCatalogueCache:
    """Pages of the current epoch of the catalogue, shared by all processes.

    A process that dies after its commit and before the new epoch leaves the old pages readable for about `ttl` seconds.
    """

    _redis: GuardedRedis
    _namespace: str = "holdfast"
    _ttl: float = 60
    _epoch_key: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._epoch_key = f"{self._namespace}:edition"
        self._redis.invalidate_through(self._epoch_key)

    async def get(self, page: CataloguePage) -> tuple[CataloguePage, list[Product] | None]:
        answer = await self._redis.read("MGET", self._epoch_key, self._key(page))
        if answer is None:
            return evolve(page, epoch=None), None
        epoch, entry = answer
        if not self._redis.is_current(epoch):
            return evolve(page, epoch=await self._begin_epoch()), None
        return evolve(page, epoch=epoch.decode()), _decode(entry, epoch)

    async def put(self, page: CataloguePage, products: Sequence[Product]) -> None:
        if page.epoch is None:
            return
        entry = page.epoch.encode() + SHAPE + _ENCODER.encode(products)
        # Pages that were read together must not expire together.
        ttl = int(self._ttl * 1000 * random.uniform(0.9, 1.1))  # noqa: S311 - nothing is secret
        await self._redis.run(_PUT, [self._epoch_key, self._key(page)], [page.epoch, self._epoch_ttl(), entry, ttl])

    async def begin_epoch(self) -> None:
        await self._begin_epoch()

    async def _begin_epoch(self) -> str | None:
        epoch = self._redis.new_epoch()
        answer = await self._redis.write("SET", self._epoch_key, epoch, "PX", self._epoch_ttl())
        return None if answer is None else epoch.decode()

    def _key(self, page: CataloguePage) -> str:
        return f"{self._namespace}:page:{page.after or 0}:{page.limit}"

    def _epoch_ttl(self) -> int:
        # Each put prolongs the epoch, so that it outlives its pages.
        return int(self._ttl * 2000)


def _decode(entry: bytes | None, epoch: bytes) -> list[Product] | None:
    """Return the products, or None if the page is missing, of another epoch, or unreadable for this release."""
    if entry is None or not entry.startswith(epoch + SHAPE):
        return None
    try:
        return _DECODER.decode(memoryview(entry)[_HEAD_BYTES:])
    except Exception:  # noqa: BLE001 - foreign bytes can break JSON, types and the rules of the domain
        return None
