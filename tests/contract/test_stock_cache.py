"""What StockCache promises, on every adapter of it; then what Redis promises alone."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from adapters.memory.caches import MemoryStockCache
from adapters.redis.client import open_redis
from adapters.redis.stock_cache import RedisStockCache
from application.ports.caching import StockCache
from application.ports.catalogue import StockLevel
from domain.catalogue.product import MAX_STOCK
from domain.ids import MAX_ID, ProductId

PEN, INK = ProductId(1), ProductId(MAX_ID)


@pytest.fixture
def namespace() -> str:
    return f"test:{secrets.token_hex(8)}"


@asynccontextmanager
async def a_process(redis_url: str, namespace: str) -> AsyncIterator[RedisStockCache]:
    """The cache of one process, with times that a loaded machine does not exceed."""
    async with open_redis(redis_url, timeout=5) as redis:
        yield RedisStockCache(redis, namespace, 60)


@pytest.fixture
async def in_redis(redis_url: str, namespace: str) -> AsyncIterator[RedisStockCache]:
    async with a_process(redis_url, namespace) as cache:
        yield cache


@pytest.fixture(params=["memory", "redis"])
def cache(request: pytest.FixtureRequest) -> StockCache:
    if request.param == "memory":
        return MemoryStockCache(max_age=60)
    in_redis: StockCache = request.getfixturevalue("in_redis")
    return in_redis


async def known(cache: StockCache, *ids: ProductId) -> dict[ProductId, StockLevel]:
    return (await cache.get_many(ids or (PEN, INK)))[1]


async def read(cache: StockCache, level: StockLevel, id_: ProductId = PEN) -> None:
    """Put a level as a reader does, who asks the cache before the database."""
    epoch, _ = await cache.get_many([id_])
    await cache.put_read({id_: level}, epoch=epoch)


async def test_what_was_read_is_known_and_the_rest_is_missing(cache: StockCache) -> None:
    assert await known(cache) == {}
    await read(cache, StockLevel(1, 0))
    assert await known(cache) == {PEN: StockLevel(1, 0)}
    await read(cache, StockLevel(2**53 - 1, MAX_STOCK), INK)
    assert await known(cache) == {PEN: StockLevel(1, 0), INK: StockLevel(2**53 - 1, MAX_STOCK)}
    assert await known(cache, INK) == {INK: StockLevel(2**53 - 1, MAX_STOCK)}


@pytest.mark.parametrize("versions", [(9, 10), (10, 9)])
async def test_the_newest_version_stays_whichever_comes_last(cache: StockCache, versions: tuple[int, int]) -> None:
    await known(cache)
    for version in versions:
        assert await cache.put_committed({PEN: StockLevel(version, version)})
    await read(cache, StockLevel(9, 9))
    assert await known(cache) == {PEN: StockLevel(10, 10)}


async def test_many_products_are_changed_at_once(cache: StockCache) -> None:
    levels = {ProductId(number): StockLevel(number, 2 * number) for number in range(1, 301)}
    await known(cache)
    await cache.put_committed(levels)
    assert await known(cache, *levels) == levels


async def test_what_was_read_in_an_epoch_that_nobody_knew_is_not_kept(cache: StockCache) -> None:
    await known(cache)
    for epoch in (None, "another"):
        await cache.put_read({PEN: StockLevel(1, 5)}, epoch=epoch)
    assert await known(cache) == {}


async def test_no_reader_sees_stock_older_than_a_change_that_the_cache_was_told_of(cache: StockCache) -> None:
    database = told = StockLevel(1, 1000)

    async def sell() -> None:
        nonlocal database, told
        for _ in range(100):
            database = StockLevel(database.version + 1, database.units - 1)
            await cache.put_committed({PEN: database})
            told = database

    async def look() -> None:
        for _ in range(25):
            least = told
            epoch, levels = await cache.get_many([PEN])
            if PEN not in levels:
                levels = {PEN: database}
                await asyncio.sleep(0)
                await cache.put_read(levels, epoch=epoch)
            assert levels[PEN].version >= least.version

    await asyncio.gather(sell(), *(look() for _ in range(8)))
    assert await known(cache) == {PEN: database}


async def test_all_levels_in_memory_end_together() -> None:
    now = 0.0
    cache = MemoryStockCache(max_age=1, time=lambda: now)
    epoch, _ = await cache.get_many([PEN])
    now = 0.9
    await cache.put_committed({PEN: StockLevel(2, 5)})
    assert await known(cache) == {PEN: StockLevel(2, 5)}
    now = 1.1
    assert await known(cache) == {}
    # It was read before the change, which the cache has forgotten since.
    await cache.put_read({PEN: StockLevel(1, 6)}, epoch=epoch)
    assert await known(cache) == {}


async def test_memory_keeps_nothing_for_lists_that_nobody_reads() -> None:
    now = 0.0
    cache = MemoryStockCache(max_age=1, time=lambda: now)
    await cache.put_committed({PEN: StockLevel(1, 5)})
    assert await known(cache) == {}
    await cache.put_committed({PEN: StockLevel(2, 4)})
    now = 2.0
    for number in range(1, 1001):
        await cache.put_committed({ProductId(number): StockLevel(1, 5)})
    assert cache._levels == {}  # noqa: SLF001 - what it keeps


async def test_processes_share_what_they_know(redis_url: str, namespace: str, in_redis: RedisStockCache) -> None:
    async with a_process(redis_url, namespace) as another:
        await read(in_redis, StockLevel(1, 5))
        assert await known(another) == {PEN: StockLevel(1, 5)}
        await another.put_committed({PEN: StockLevel(2, 4)})
        assert await known(in_redis) == {PEN: StockLevel(2, 4)}


@pytest.fixture
async def raw(redis_url: str) -> AsyncIterator[Any]:
    async with Redis.from_url(redis_url) as client:
        yield client


async def test_everything_in_redis_ends_within_seconds_of_its_beginning(
    raw: Any, redis_url: str, namespace: str
) -> None:
    async with open_redis(redis_url, timeout=5) as redis:
        cache = RedisStockCache(redis, namespace)
        await read(cache, StockLevel(1, 5))
        ends = await raw.pttl(f"{namespace}:stock")
        assert 0 < ends <= 5000
        # No change puts off the end.
        await cache.put_committed({PEN: StockLevel(2, 4)})
        assert await raw.pttl(f"{namespace}:stock") <= ends


async def test_what_was_read_before_the_epoch_was_lost_is_not_kept_after_it(
    raw: Any, namespace: str, in_redis: RedisStockCache
) -> None:
    epoch, _ = await in_redis.get_many([PEN])
    await raw.delete(f"{namespace}:stock")
    for _ in range(2):
        await in_redis.put_read({PEN: StockLevel(1, 5)}, epoch=epoch)
        assert await known(in_redis) == {}


async def test_an_epoch_of_an_earlier_run_of_the_server_has_ended(
    raw: Any, namespace: str, in_redis: RedisStockCache
) -> None:
    await read(in_redis, StockLevel(1, 5))
    key = f"{namespace}:stock"
    epoch = await raw.hget(key, "epoch")
    await raw.hset(key, "epoch", b"0" * 12 + epoch[12:])
    await in_redis.put_committed({PEN: StockLevel(1, 4)})
    assert await known(in_redis) == {}


@pytest.mark.parametrize("spoilt", [b"", b"5", b"x:5", b"1:-5", b"1:5:7", b"\xff" * 200])
async def test_a_level_that_cannot_be_read_is_missing(
    raw: Any, namespace: str, in_redis: RedisStockCache, spoilt: bytes
) -> None:
    await read(in_redis, StockLevel(1, 5))
    await raw.hset(f"{namespace}:stock", str(PEN), spoilt)
    assert await known(in_redis) == {}
