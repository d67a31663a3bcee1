"""The promise of `CacheOwner` and `DatabaseMarks`: no entry is used that comes from another database."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from attrs import define, frozen
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from adapters.memory.cache_owner import MemoryCacheOwner
from adapters.memory.caches import MemoryRecentOrders
from adapters.redis.cache_owner import RedisCacheOwner
from adapters.redis.catalogue_cache import RedisCatalogueCache
from adapters.redis.client import open_redis
from adapters.redis.recent_orders import RedisRecentOrders
from adapters.sql.core.engine import create_engine
from adapters.sql.mark import SqlDatabaseMarks
from application.errors import Unavailable
from application.execution.one_database import KeepCachesToDatabase
from application.ports.caching import CacheOwner, CataloguePage, DatabaseMark, RecentOrders
from domain.ids import OrderId
from domain.orders.order import Order
from tests.servers import PostgresServer
from tests.unit.builders import a_product, an_order

PAGE = CataloguePage(after=None, limit=10)
FIRST = DatabaseMark("a database", 100)


@frozen
class Caches:
    owner: CacheOwner
    orders: RecentOrders
    catalogue: RedisCatalogueCache | None = None

    async def fill(self) -> Order:
        order = an_order_of_its_own()
        # The first put begins an epoch.
        for _ in range(2):
            await self.orders.put_many([order])
        if self.catalogue is not None:
            page, _ = await self.catalogue.get(PAGE)
            await self.catalogue.put(page, [a_product()])
        assert await self.have(order)
        return order

    async def have(self, order: Order) -> bool:
        has_order = order.id in await self.orders.get_many([order.id])
        if self.catalogue is not None:
            _, products = await self.catalogue.get(PAGE)
            assert (products is not None) == has_order
        return has_order


def an_order_of_its_own() -> Order:
    order = an_order()
    return Order.place(order_id=OrderId(uuid7()), user_id=order.user_id, lines=order.lines, at=order.created_at)[0]


@pytest.fixture
def namespace() -> str:
    return f"test:{secrets.token_hex(8)}"


@asynccontextmanager
async def caches_in_redis(url: str, namespace: str, *, seconds: float) -> AsyncIterator[Caches]:
    async with open_redis(url, timeout=seconds) as redis:
        yield Caches(
            RedisCacheOwner(redis, namespace),
            RedisRecentOrders(redis, namespace, settle=0),
            RedisCatalogueCache(redis, namespace),
        )


@pytest.fixture
async def in_redis(redis_url: str, namespace: str) -> AsyncIterator[Caches]:
    async with caches_in_redis(redis_url, namespace, seconds=5) as caches:
        yield caches


@pytest.fixture
async def soon_back(redis_url: str, namespace: str) -> AsyncIterator[Caches]:
    """For a test in which Redis refuses a command. The client then waits for twice its timeout, and connects again."""
    async with caches_in_redis(redis_url, namespace, seconds=0.5) as caches:
        yield caches


@pytest.fixture(params=["memory", "redis"])
def caches(request: pytest.FixtureRequest) -> Caches:
    if request.param == "memory":
        orders = MemoryRecentOrders()
        return Caches(MemoryCacheOwner(orders), orders)
    caches: Caches = request.getfixturevalue("in_redis")
    return caches


async def test_a_mark_that_was_noted_is_returned(caches: Caches) -> None:
    assert await caches.owner.get() is None
    await caches.owner.change(FIRST, since=None)
    assert await caches.owner.get() == FIRST


@pytest.mark.parametrize("position", [100, 101, 10**18])
async def test_the_entries_of_a_database_that_goes_on_stay(caches: Caches, position: int) -> None:
    await caches.owner.change(FIRST, since=None)
    order = await caches.fill()
    await caches.owner.change(DatabaseMark(FIRST.identity, position), since=FIRST)
    assert await caches.have(order)


@pytest.mark.parametrize(
    "mark",
    [
        DatabaseMark(FIRST.identity, 99),
        # By number, not by letter.
        DatabaseMark(FIRST.identity, 20),
        DatabaseMark("another database", 100),
        DatabaseMark("another database", 101),
        DatabaseMark(FIRST.identity + " ", 101),
    ],
)
async def test_the_entries_of_another_or_an_earlier_database_are_invalidated(
    caches: Caches, mark: DatabaseMark
) -> None:
    await caches.owner.change(FIRST, since=None)
    order = await caches.fill()
    await caches.owner.change(mark, since=FIRST)
    assert not await caches.have(order)
    assert await caches.owner.get() == mark
    assert await caches.have(await caches.fill())


async def test_a_process_whose_mark_is_out_of_date_changes_nothing(caches: Caches) -> None:
    """Another process has noted a later mark meanwhile, which this one may be behind."""
    later = DatabaseMark(FIRST.identity, 200)
    await caches.owner.change(FIRST, since=None)
    order = await caches.fill()
    await caches.owner.change(later, since=FIRST)
    await caches.owner.change(DatabaseMark(FIRST.identity, 150), since=FIRST)
    await caches.owner.change(DatabaseMark("another", 1), since=FIRST)
    assert await caches.owner.get() == later
    assert await caches.have(order)


async def test_what_a_process_cached_before_it_knew_its_database_stays() -> None:
    """It was accepted while the database was away, and comes from no other one."""
    orders = MemoryRecentOrders()
    caches = Caches(MemoryCacheOwner(orders), orders)
    order = await caches.fill()
    await caches.owner.change(FIRST, since=None)
    assert await caches.have(order)


@pytest.mark.parametrize("known", [None, b"", b"no mark at all", b"x y", b"\xff\xff"])
async def test_entries_in_redis_of_which_nobody_knows_the_database_are_invalidated(
    in_redis: Caches, redis_url: str, namespace: str, known: bytes | None
) -> None:
    order = await in_redis.fill()
    if known is not None:
        async with Redis.from_url(redis_url) as raw:
            await raw.set(f"{namespace}:database", known, px=60_000)
    assert await in_redis.owner.get() is None
    await in_redis.owner.change(FIRST, since=None)
    assert not await in_redis.have(order)
    assert await in_redis.owner.get() == FIRST


@pytest.mark.parametrize(
    "command",
    ["RPUSH {} x", "HSET {} x y", "SADD {} x", "ZADD {} 1 x", "XADD {} * x y", "SETBIT {} 9 1"],
    ids=lambda command: command.split()[0],
)
@pytest.mark.parametrize("key", ["database", "generation", "catalogue"])
async def test_a_key_of_another_type_under_one_of_our_names_is_replaced(
    in_redis: Caches, soon_back: Caches, redis_url: str, namespace: str, *, key: str, command: str
) -> None:
    await in_redis.owner.change(FIRST, since=None)
    await in_redis.fill()
    async with Redis.from_url(redis_url) as raw:
        await raw.delete(f"{namespace}:{key}")
        await raw.execute_command(*command.format(f"{namespace}:{key}").split())
    if key == "database":
        assert await in_redis.owner.get() is None
    caches = soon_back
    await caches.owner.change(FIRST, since=None)

    async def all_work() -> bool:
        assert caches.catalogue is not None
        await caches.owner.change(FIRST, since=await caches.owner.get())
        mark, order = await caches.owner.get(), an_order_of_its_own()
        for _ in range(2):
            await caches.orders.put_many([order])
        page, _ = await caches.catalogue.get(PAGE)
        await caches.catalogue.put(page, [a_product()])
        _, products = await caches.catalogue.get(PAGE)
        return mark == FIRST and products is not None and order.id in await caches.orders.get_many([order.id])

    # The client may have to connect again first.
    async with asyncio.timeout(60):
        while not await all_work():  # noqa: ASYNC110 - what is waited for happens in a server
            await asyncio.sleep(0.05)


async def test_namespaces_have_their_own_database(in_redis: Caches, redis_url: str) -> None:
    order = await in_redis.fill()
    async with open_redis(redis_url, timeout=5) as redis:
        await RedisCacheOwner(redis, f"test:{secrets.token_hex(8)}").change(FIRST, since=None)
    assert await in_redis.have(order)


@define
class Marks:
    mark: DatabaseMark | None

    async def current(self) -> DatabaseMark | None:
        return self.mark


async def test_caches_stay_in_use_while_the_database_cannot_be_recognised(caches: Caches) -> None:
    marks = Marks(FIRST)
    keep = KeepCachesToDatabase(marks, [caches.owner])
    await keep()
    order = await caches.fill()
    marks.mark = None
    await keep()
    assert await caches.have(order)
    marks.mark = DatabaseMark(FIRST.identity, 101)
    await keep()
    assert await caches.have(order)
    marks.mark = FIRST
    await keep()
    assert not await caches.have(order)


async def test_a_sqlite_file_needs_no_mark(sqlite_engine: AsyncEngine) -> None:
    assert await SqlDatabaseMarks(sqlite_engine).current() is None


async def mark_of(url: str) -> DatabaseMark:
    engine = create_engine(url)
    try:
        mark = await SqlDatabaseMarks(engine).current()
    finally:
        await engine.dispose()
    assert mark is not None
    return mark


async def run(url: str, *statements: str) -> None:
    engine = create_engine(url)
    try:
        async with engine.connect() as connection:
            connection = await connection.execution_options(isolation_level="AUTOCOMMIT")  # noqa: PLW2901 - the same one
            for statement in statements:
                await connection.execute(text(statement))
    finally:
        await engine.dispose()


TABLE = "CREATE TABLE orders (id int)"
WORK = ("INSERT INTO orders SELECT * FROM generate_series(1, 1000)", "DELETE FROM orders", "VACUUM orders")


async def test_a_database_that_works_goes_on(new_database: Callable[[], str]) -> None:
    url = new_database()
    await run(url, TABLE)
    before = await mark_of(url)
    await run(url, *WORK, "ALTER TABLE orders ADD COLUMN more int", "CREATE TABLE others (id int)")
    after = await mark_of(url)
    assert after.continues(before)
    assert not before.continues(after)


async def test_a_database_without_tables_has_a_mark(new_database: Callable[[], str]) -> None:
    url = new_database()
    before = await mark_of(url)
    assert (await mark_of(url)).continues(before)


@pytest.mark.parametrize(
    "restore",
    [
        # As pg_restore does it: into the same tables, emptied; with --clean; and with --create into a new database.
        ("TRUNCATE orders", "INSERT INTO orders VALUES (1)"),
        ("DROP TABLE orders", TABLE, "INSERT INTO orders VALUES (1)"),
    ],
)
async def test_a_database_whose_tables_were_restored_does_not_go_on(
    new_database: Callable[[], str], restore: tuple[str, ...]
) -> None:
    url = new_database()
    await run(url, TABLE, *WORK)
    before = await mark_of(url)
    await run(url, *restore)
    assert not (await mark_of(url)).continues(before)


async def test_another_database_of_the_same_server_does_not_go_on(new_database: Callable[[], str]) -> None:
    one, another = new_database(), new_database()
    for url in (one, another):
        await run(url, TABLE)
    assert not (await mark_of(another)).continues(await mark_of(one))


async def test_a_server_whose_disk_was_set_back_does_not_go_on(own_postgres: PostgresServer) -> None:
    await run(own_postgres.url, TABLE)
    own_postgres.stop()
    with PostgresServer(like=own_postgres) as copy:
        own_postgres.start()
        await run(own_postgres.url, *WORK)
        before = await mark_of(own_postgres.url)
        own_postgres.kill()
        own_postgres.start()
        # A crash is no restore.
        assert (await mark_of(own_postgres.url)).continues(before)
        after = await mark_of(copy.url)
        assert after.identity == before.identity
        assert not after.continues(before)


async def test_a_database_out_of_reach_has_no_mark(unused_tcp_port: int) -> None:
    engine = create_engine(f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/none")
    with pytest.raises(Unavailable):
        await SqlDatabaseMarks(engine).current()
    await engine.dispose()
