import random
from collections.abc import Sequence
from typing import Final

import msgspec
from attrs import define, evolve, field

from adapters.codecs.plain import plain
from adapters.redis.client import EPOCH_BYTES, GuardedRedis, Script
from adapters.redis.epochs import EPOCH, begin_epoch
from application.ports.caching import CataloguePage
from domain.catalogue.product import Product

# The value of a page: its epoch, a digit for the shape of the JSON, and the products as JSON. A change of Product's
# fields needs another digit.
SHAPE: Final = b"3"
_HEAD_BYTES: Final = EPOCH_BYTES + len(SHAPE)

_ENCODER: Final = msgspec.json.Encoder(enc_hook=plain)
_DECODER: Final = msgspec.json.Decoder(list[Product])

# KEYS: the catalogue. ARGV: the epoch that was current before the database was read, the page's name, the page, the
# number of fields that there may be. One page too many takes the place of all others.
_PUT: Final = Script(
    f"""
if redis.call('HGET', KEYS[1], '{EPOCH}') ~= ARGV[1] then
    return 0
end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) and redis.call('HEXISTS', KEYS[1], ARGV[2]) == 0 then
    local ttl = redis.call('PTTL', KEYS[1])
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], '{EPOCH}', ARGV[1])
    redis.call('PEXPIRE', KEYS[1], ttl)
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return 1
"""
)


@define(eq=False)
class RedisCatalogueCache:
    """Pages of the current epoch of the catalogue, shared by all processes: one hash, which ends with the epoch.

    A process that dies after its commit and before the new epoch leaves the old pages readable for about `ttl` seconds.
    """

    _redis: GuardedRedis
    _namespace: str = "holdfast"
    _ttl: float = 60
    # Clients choose where a page begins and how long it is.
    _max_pages: int = field(default=1_000, kw_only=True)
    _key: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._key = f"{self._namespace}:catalogue"
        self._redis.invalidate_through(self._key)

    async def get(self, page: CataloguePage) -> tuple[CataloguePage, list[Product] | None]:
        answer = await self._redis.read("HMGET", self._key, EPOCH, _name(page))
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
        await self._redis.run(_PUT, [self._key], [page.epoch, _name(page), entry, 1 + self._max_pages])

    async def begin_epoch(self) -> bool:
        return await self._begin_epoch() is not None

    async def _begin_epoch(self) -> str | None:
        # The catalogues of several shops must not expire together.
        ttl = self._ttl * random.uniform(0.9, 1.1)  # noqa: S311 - nothing is secret
        return await begin_epoch(self._redis, self._key, ttl=ttl)


def _name(page: CataloguePage) -> str:
    which = {None: "all", True: "for sale", False: "not for sale"}[page.active]
    return f"{page.after or 0}:{page.limit}:{which}"


def _decode(entry: bytes | None, epoch: bytes) -> list[Product] | None:
    """Return the products, or None if the page is missing, of another epoch, or unreadable for this release."""
    if entry is None or not entry.startswith(epoch + SHAPE):
        return None
    try:
        return _DECODER.decode(memoryview(entry)[_HEAD_BYTES:])
    except Exception:  # noqa: BLE001 - foreign bytes can break JSON, types and the rules of the domain
        return None
