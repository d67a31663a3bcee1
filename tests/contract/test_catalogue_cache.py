"""What CatalogueCache promises, on every adapter of it; then what Redis promises alone."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attrs import evolve
from attrs import fields as attrs_fields
from redis.asyncio import Redis

from adapters.memory.caches import MemoryCatalogueCache
from adapters.redis.catalogue_cache import SHAPE, RedisCatalogueCache
from adapters.redis.client import open_redis
from application.ports.caching import CatalogueCache, CataloguePage
from domain.catalogue.product import Product
from domain.ids import ProductId
from tests.unit.builders import a_product

FIRST_PAGE = CataloguePage(after=None, limit=10)
MAX_PAGES = 20
PRODUCTS = [a_product(number, stock=number) for number in range(1, 11)]


@pytest.fixture
def namespace() -> str:
    return f"test:{secrets.token_hex(8)}"


@pytest.fixture
async def raw(redis_url: str) -> AsyncIterator[Any]:
    async with Redis.from_url(redis_url) as client:
        yield client


@asynccontextmanager
async def a_process(redis_url: str, namespace: str) -> AsyncIterator[RedisCatalogueCache]:
    """The cache of one process, with a timeout that a loaded machine does not exceed."""
    async with open_redis(redis_url, timeout=5) as redis:
        yield RedisCatalogueCache(redis, namespace, max_pages=MAX_PAGES)


@pytest.fixture
async def in_redis(redis_url: str, namespace: str) -> AsyncIterator[RedisCatalogueCache]:
    async with a_process(redis_url, namespace) as cache:
        yield cache


@pytest.fixture(params=["memory", "redis"])
def cache(request: pytest.FixtureRequest) -> CatalogueCache:
    if request.param == "memory":
        return MemoryCatalogueCache(max_age=60, max_pages=MAX_PAGES)
    in_redis: CatalogueCache = request.getfixturevalue("in_redis")
    return in_redis


async def read(
    cache: CatalogueCache, page: CataloguePage = FIRST_PAGE, *, database: Sequence[Product] = PRODUCTS
) -> list[Product]:
    """Read a page as the use case does: from the cache, or else from the database into the cache."""
    page, products = await cache.get(page)
    if products is None:
        await cache.put(page, database)
    return list(database) if products is None else products


async def kept(cache: CatalogueCache, page: CataloguePage = FIRST_PAGE) -> list[Product] | None:
    return (await cache.get(page))[1]


async def test_a_page_that_was_read_is_kept(cache: CatalogueCache) -> None:
    assert await kept(cache) is None
    await read(cache)
    assert await kept(cache) == PRODUCTS


async def test_an_empty_page_is_kept_as_well(cache: CatalogueCache) -> None:
    await read(cache, database=[])
    assert await kept(cache) == []


async def test_pages_are_told_apart(cache: CatalogueCache) -> None:
    pages = [
        CataloguePage(None, 2),
        CataloguePage(None, 3),
        CataloguePage(ProductId(2), 2),
        CataloguePage(ProductId(22), 2),
        CataloguePage(None, 2, active=False),
        CataloguePage(None, 2, active=None),
    ]
    for number, page in enumerate(pages):
        await read(cache, page, database=[PRODUCTS[number]])
    assert [await kept(cache, page) for page in pages] == [[PRODUCTS[number]] for number in range(6)]


async def test_a_new_epoch_invalidates_every_page(cache: CatalogueCache) -> None:
    another = CataloguePage(ProductId(10), 10)
    await read(cache)
    await read(cache, another)
    await cache.begin_epoch()
    assert await kept(cache) is None
    assert await kept(cache, another) is None


async def test_a_page_read_before_a_new_epoch_is_not_kept_after_it(cache: CatalogueCache) -> None:
    page, _ = await cache.get(FIRST_PAGE)
    await cache.begin_epoch()
    await cache.put(page, PRODUCTS)
    assert await kept(cache) is None


async def test_a_page_of_an_old_epoch_does_not_replace_one_of_the_new(cache: CatalogueCache) -> None:
    page, _ = await cache.get(FIRST_PAGE)
    await cache.begin_epoch()
    await read(cache, database=PRODUCTS[:3])
    await cache.put(page, PRODUCTS)
    assert await kept(cache) == PRODUCTS[:3]


async def test_pages_beyond_the_limit_take_the_place_of_others(cache: CatalogueCache) -> None:
    pages = [CataloguePage(ProductId(number), limit) for number in range(1, 51) for limit in (1, 2, 3)]
    for page in pages:
        await read(cache, page, database=PRODUCTS[: page.limit])
        # Whatever was there before, the newest page is kept.
        assert await kept(cache, page) == PRODUCTS[: page.limit]
    assert 1 <= sum([await kept(cache, page) is not None for page in pages]) <= MAX_PAGES
    # A page that is replaced takes no other's place.
    for _ in range(2 * MAX_PAGES):
        await cache.put((await cache.get(pages[-1]))[0], PRODUCTS)
    assert await kept(cache, pages[-1]) == PRODUCTS


async def test_what_a_caller_does_with_a_product_changes_nothing_that_is_kept(cache: CatalogueCache) -> None:
    products = [evolve(product) for product in PRODUCTS]
    await read(cache, database=products)
    products[9].take(1)
    found = await kept(cache)
    assert found is not None
    found[8].take(1)
    assert await kept(cache) == PRODUCTS


async def test_no_reader_sees_stock_older_than_an_epoch_that_it_knew(cache: CatalogueCache) -> None:
    stock = 0

    async def sell() -> None:
        nonlocal stock
        for number in range(1, 101):
            stock = number
            await cache.begin_epoch()

    async def buy() -> None:
        for _ in range(25):
            committed_stock = stock
            page, products = await cache.get(FIRST_PAGE)
            if products is None:
                products = [a_product(stock=stock)]
                await asyncio.sleep(0)
                await cache.put(page, products)
            # The newest change may not have begun its epoch yet; the one before it has.
            assert products[0].stock >= committed_stock - 1

    await asyncio.gather(sell(), *(buy() for _ in range(8)))
    assert await kept(cache) in (None, [a_product(stock=100)])


async def test_processes_share_pages_and_epochs(redis_url: str, namespace: str, in_redis: RedisCatalogueCache) -> None:
    async with a_process(redis_url, namespace) as another:
        await read(in_redis)
        assert await kept(another) == PRODUCTS
        await another.begin_epoch()
        assert await kept(in_redis) is None


async def test_namespaces_do_not_see_each_other(redis_url: str, in_redis: RedisCatalogueCache) -> None:
    await read(in_redis)
    async with a_process(redis_url, f"test:{secrets.token_hex(8)}") as another:
        assert await kept(another) is None
        await another.begin_epoch()
    assert await kept(in_redis) == PRODUCTS


async def test_everything_that_is_kept_ends_by_itself(raw: Any, namespace: str, in_redis: RedisCatalogueCache) -> None:
    await read(in_redis)
    ends = [await raw.pttl(key) async for key in raw.scan_iter(f"{namespace}:*")]
    assert len(ends) == 1
    assert all(0 < end <= 120_000 for end in ends)


async def test_a_page_read_before_the_epoch_was_lost_is_not_kept_after_it(
    raw: Any, namespace: str, in_redis: RedisCatalogueCache
) -> None:
    page, _ = await in_redis.get(FIRST_PAGE)
    await raw.delete(f"{namespace}:catalogue")
    await in_redis.put(page, PRODUCTS)
    assert await kept(in_redis) is None
    await in_redis.put(page, PRODUCTS)
    assert await kept(in_redis) is None
    await read(in_redis)
    assert await kept(in_redis) == PRODUCTS


async def test_an_epoch_of_an_earlier_run_of_the_server_has_ended(
    raw: Any, namespace: str, in_redis: RedisCatalogueCache
) -> None:
    """A server may be restarted from an old snapshot between two calls without any process noticing."""
    await read(in_redis)
    key = f"{namespace}:catalogue"
    epoch = await raw.hget(key, "epoch")
    earlier = b"0" * 12 + epoch[12:]
    await raw.hset(
        key, mapping={"epoch": earlier, "0:10:for sale": (await raw.hget(key, "0:10:for sale")).replace(epoch, earlier)}
    )
    assert await kept(in_redis) is None
    await read(in_redis)
    assert await kept(in_redis) == PRODUCTS


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda _: b"\xff" * 200,
        lambda entry: entry[:-1],
        lambda entry: entry.replace(SHAPE + b"[", b"?[", 1),
        lambda entry: entry.replace(b'"stock":3', b'"stock":-3'),
        lambda entry: entry[: entry.index(b"[")] + b"[" * 100_000,
    ],
)
async def test_a_page_that_cannot_be_read_is_missing(
    raw: Any, namespace: str, in_redis: RedisCatalogueCache, spoil: Callable[[bytes], bytes]
) -> None:
    await read(in_redis)
    key = f"{namespace}:catalogue"
    await raw.hset(key, "0:10:for sale", spoil(await raw.hget(key, "0:10:for sale")))
    assert await kept(in_redis) is None
    await read(in_redis)
    assert await kept(in_redis) == PRODUCTS


async def test_a_change_of_the_fields_of_a_product_asks_for_a_new_shape() -> None:
    """When this fails, give SHAPE in adapters/redis/catalogue_cache.py the next digit, and list the fields anew."""
    assert {field.name for field in attrs_fields(Product)} == {
        "id",
        "name",
        "price",
        "stock",
        "created_at",
        "version",
        "sku",
        "active",
        "metadata",
    }
