import random
from collections.abc import Sequence
from typing import Final

import msgspec
from attrs import define, evolve, field

from adapters.redis.client import STAMP_BYTES, GuardedRedis, Script
from application.ports.caching import CataloguePage
from domain.catalogue.product import Product

# A page: the stamp of its edition, and the products as JSON behind the digit of their shape. A change of Product's
# fields needs another digit.
SHAPE: Final = b"1"
_HEAD_BYTES: Final = STAMP_BYTES + len(SHAPE)

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(list[Product])

# KEYS: the edition, the page. ARGV: the edition that was current before the database was read, its time to live, the
# page, its time to live.
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
    """Pages of one edition of the catalogue, shared by all processes.

    A process that dies between its commit and the new edition leaves the old one readable for about `ttl` seconds.
    """

    _redis: GuardedRedis
    _namespace: str = "holdfast"
    _ttl: float = 60
    _edition_key: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._edition_key = f"{self._namespace}:edition"
        self._redis.stand_under(self._edition_key)

    async def get(self, page: CataloguePage) -> tuple[CataloguePage, list[Product] | None]:
        answer = await self._redis.read("MGET", self._edition_key, self._key(page))
        if answer is None:
            return evolve(page, edition=None), None
        edition, entry = answer
        if not self._redis.is_current(edition):
            return evolve(page, edition=await self._begin_edition()), None
        return evolve(page, edition=edition.decode()), _decode(entry, edition)

    async def put(self, page: CataloguePage, products: Sequence[Product]) -> None:
        if page.edition is None:
            return
        entry = page.edition.encode() + SHAPE + _ENCODER.encode(products)
        # Pages that were read together must not end together.
        ttl = int(self._ttl * 1000 * random.uniform(0.9, 1.1))  # noqa: S311 - nothing is secret
        await self._redis.run(
            _PUT, [self._edition_key, self._key(page)], [page.edition, self._edition_ttl(), entry, ttl]
        )

    async def begin_epoch(self) -> None:
        await self._begin_edition()

    async def _begin_edition(self) -> str | None:
        stamp = self._redis.new_stamp()
        answer = await self._redis.write("SET", self._edition_key, stamp, "PX", self._edition_ttl())
        return None if answer is None else stamp.decode()

    def _key(self, page: CataloguePage) -> str:
        return f"{self._namespace}:page:{page.after or 0}:{page.limit}"

    def _edition_ttl(self) -> int:
        # Each put prolongs it, so that it outlives the pages that stand under it.
        return int(self._ttl * 2000)


def _decode(entry: bytes | None, edition: bytes) -> list[Product] | None:
    """Return None for whatever this release can't read."""
    if entry is None or not entry.startswith(edition + SHAPE):
        return None
    try:
        return _DECODER.decode(memoryview(entry)[_HEAD_BYTES:])
    except Exception:  # noqa: BLE001 - JSON, types and the rules of the domain can all be broken by a stranger's bytes
        return None
