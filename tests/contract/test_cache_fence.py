"""The promise of `CacheFence`: no process reads an entry that another one could not invalidate."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from attrs import define, field
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from adapters.memory.cache_fence import NoCacheFence
from adapters.memory.caches import MemoryCatalogueCache, MemoryRecentOrders, MemoryStockCache
from adapters.memory.signal import MemoryOutboxSignal
from adapters.redis.catalogue_cache import RedisCatalogueCache
from adapters.redis.client import open_redis
from adapters.redis.recent_orders import RedisRecentOrders
from adapters.redis.stock_cache import RedisStockCache
from adapters.sql.cache_fence import SECONDS, SqlCacheFence
from adapters.sql.core.engine import create_engine
from adapters.sql.tables.shop import leases
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.access.principal import the_system
from application.catalogue.adjust_stock import AdjustStock, StockCall
from application.catalogue.list_products import CountLeft, ReadPages, ReadStock
from application.errors import Unavailable
from application.execution.after_commit import PropagateChanges
from application.intake.unrecorded import Unrecorded
from application.orders.cancel_order import CancelOrder
from application.orders.delete_order import DeleteOrder
from application.orders.get_order import GetOrder
from application.payments.request_payment import RequestPayment
from application.ports.caching import CataloguePage
from domain.errors import OrderDeleted
from domain.ids import OrderId
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.cables import Cable, cable
from tests.contract.conftest import keep
from tests.unit.builders import NOW, a_product, an_order

PAGE = CataloguePage(after=None, limit=10)


@define
class Clock:
    """The time of a process, which the test moves."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@define(eq=False)
class Processes:
    """Processes on one database, each with its own fence."""

    engine: AsyncEngine
    clock: Clock = field(factory=Clock)

    def a_fence(self, *, is_needed: Callable[[], bool] = lambda: True, settle: float = 0) -> SqlCacheFence:
        return SqlCacheFence(self.engine, f"process {secrets.token_hex(4)}", is_needed, settle=settle, time=self.clock)

    async def end(self) -> datetime | None:
        async with self.engine.connect() as connection:
            until: datetime | None = await connection.scalar(select(leases.c.until).where(leases.c.name == "caches"))
        return until

    async def set_end(self, until: datetime) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(update(leases).where(leases.c.name == "caches").values(until=until))


@pytest.fixture
def processes(sql_engine: AsyncEngine) -> Processes:
    return Processes(sql_engine)


async def seen_by(fence: SqlCacheFence) -> bool:
    await fence.look()
    return fence.is_up()


async def test_nobody_has_raised_it_at_first(processes: Processes) -> None:
    fence = processes.a_fence()
    assert not fence.is_up()
    assert not await seen_by(fence)


async def test_every_process_sees_that_it_was_raised(processes: Processes) -> None:
    raising, *others = (processes.a_fence() for _ in range(3))
    await raising.raise_and_wait()
    assert not any(fence.is_up() for fence in others)
    assert all([await seen_by(fence) for fence in (raising, *others)])


async def test_whoever_raises_it_waits_until_all_have_looked(processes: Processes) -> None:
    fence = SqlCacheFence(processes.engine, "a process", lambda: True, settle=0.3)
    now = asyncio.get_running_loop().time
    began = now()
    await asyncio.gather(*(fence.raise_and_wait() for _ in range(3)))
    assert now() - began >= 0.3


async def test_while_it_is_up_it_is_not_written_again(processes: Processes) -> None:
    fence = processes.a_fence()
    await fence.raise_and_wait()
    end = await processes.end()
    for _ in range(3):
        await fence.raise_and_wait()
        await fence.look()
    assert await processes.end() == end


async def test_it_is_kept_up_while_it_is_needed(processes: Processes) -> None:
    needed = [True]
    raising, another = processes.a_fence(is_needed=lambda: needed[0]), processes.a_fence()
    await raising.raise_and_wait()
    # Its end comes near.
    await processes.set_end(datetime.now(UTC) - timedelta(seconds=1))
    processes.clock.seconds += SECONDS * 0.6
    assert not await seen_by(another)
    await raising.look()
    assert await seen_by(another)

    needed[0] = False
    await raising.look()
    await processes.set_end(datetime.now(UTC) - timedelta(seconds=1))
    processes.clock.seconds += SECONDS * 2
    await raising.look()
    assert not await seen_by(another)
    # And then again.
    await raising.raise_and_wait()
    assert await seen_by(another)


async def test_it_ends_with_a_process_that_is_gone(processes: Processes) -> None:
    another = processes.a_fence()
    await processes.a_fence().raise_and_wait()
    assert await seen_by(another)
    end = await processes.end()
    assert end is not None
    assert end <= datetime.now(UTC) + timedelta(seconds=SECONDS + 60)
    await processes.set_end(datetime.now(UTC) - timedelta(seconds=1))
    assert not await seen_by(another)


async def test_a_fence_that_ends_later_than_a_fence_can_is_void(processes: Processes) -> None:
    """The clock of the server was set back."""
    another = processes.a_fence()
    await processes.a_fence().raise_and_wait()
    await processes.set_end(datetime.now(UTC) + timedelta(hours=1))
    assert not await seen_by(another)
    await processes.a_fence().raise_and_wait()
    assert await seen_by(another)


async def test_one_that_was_seen_ends_by_itself_when_the_database_is_gone(processes: Processes) -> None:
    fence = processes.a_fence()
    await fence.raise_and_wait()
    assert await seen_by(fence)
    await processes.engine.dispose()
    out_of_reach = create_engine("postgresql://nobody@127.0.0.1:1/none")
    lost = SqlCacheFence(out_of_reach, "a process", lambda: True, settle=0, time=processes.clock)
    lost._seen_until = fence._seen_until  # noqa: SLF001 - it saw the fence before it lost the database
    assert await seen_by(lost)
    processes.clock.seconds += SECONDS
    assert not await seen_by(lost)
    # There is nobody to tell, and the change was made.
    await lost.raise_and_wait()
    await out_of_reach.dispose()


async def test_without_other_processes_there_is_no_fence() -> None:
    fence = NoCacheFence()
    await fence.raise_and_wait()
    await fence.look()
    assert not fence.is_up()


@define(eq=False)
class Replica:
    """One of several API processes, with its own way to Redis."""

    wire: Cable
    unit_of_work: SqlUnitOfWork
    recent: RedisRecentOrders
    catalogue: RedisCatalogueCache
    stock_cache: RedisStockCache
    fence: SqlCacheFence

    async def read(self, order: Order) -> Any:
        # As its program does again and again.
        await self.fence.look()
        unrecorded = Unrecorded(self.recent, MemoryRecentOrders())
        [found] = await GetOrder(self.unit_of_work, self.recent, unrecorded, self.fence)([order.id])
        return found

    async def stock(self) -> int:
        await self.fence.look()
        read_stock = ReadStock(self.stock_cache, CountLeft(self.unit_of_work))
        [products] = await ReadPages(self.unit_of_work, self.catalogue, self.fence, read_stock)([PAGE])
        assert not isinstance(products, Unavailable)
        return products[0].stock

    def lose_redis(self) -> None:
        self.wire.silence()
        self.wire.silent_from_now = True


Start = Callable[[], Awaitable[Replica]]


@pytest.fixture
async def start(postgres_engine: AsyncEngine, redis_url: str) -> AsyncIterator[Start]:
    namespace = f"test:{secrets.token_hex(8)}"
    async with AsyncExitStack() as stack:

        async def start() -> Replica:
            wire = await stack.enter_async_context(cable(redis_url))
            redis = await stack.enter_async_context(
                open_redis(wire.url, timeout=0.5, connect_timeout=0.5, retry_every=0.05)
            )
            recent = RedisRecentOrders(redis, namespace, settle=0)
            catalogue = RedisCatalogueCache(redis, namespace)
            fence = SqlCacheFence(postgres_engine, "a replica", lambda: redis.is_away, settle=0)
            stock = RedisStockCache(redis, namespace, 60)
            told = PropagateChanges(recent, catalogue, stock, fence, MemoryOutboxSignal())
            return Replica(wire, SqlUnitOfWork(postgres_engine, told), recent, catalogue, stock, fence)

        yield start


def now() -> datetime:
    return NOW


CHANGES: dict[str, Callable[[SqlUnitOfWork], Callable[[Sequence[OrderId]], Awaitable[Any]]]] = {
    "deleted": lambda uow: DeleteOrder(uow, now),
    "cancelled": lambda uow: CancelOrder(uow, now),
    "asked to be paid": lambda uow: RequestPayment(uow, now),
}
READ = {"cancelled": OrderStatus.CANCELLED, "asked to be paid": OrderStatus.PROCESSING}


@pytest.mark.parametrize("change", CHANGES)
async def test_no_replica_reads_an_older_version_than_a_replica_without_redis_told(start: Start, change: str) -> None:
    cut_off, other = await start(), await start()
    lines = an_order().lines
    order, _ = Order.place(order_id=OrderId(uuid7()), user_id=an_order().user_id, lines=lines, at=NOW)
    await keep(cut_off.unit_of_work, products=[a_product(line.product_id) for line in lines])
    await keep(cut_off.unit_of_work, orders=[order])
    assert (await other.read(order)).status is OrderStatus.PENDING
    cut_off.lose_redis()

    await CHANGES[change](cut_off.unit_of_work)([order.id])

    for _ in range(3):
        read = await other.read(order)
        assert isinstance(read, OrderDeleted) if change == "deleted" else read.status is READ[change]


_ONE_BROKEN: Final = StockCall(product_id=a_product(1).id, delta=-1, reason="broken")


async def test_no_replica_lists_stock_from_before_a_change_that_a_replica_without_redis_told(start: Start) -> None:
    cut_off, other = await start(), await start()
    await keep(cut_off.unit_of_work, products=[a_product(1, stock=5)])
    assert [await other.stock() for _ in range(2)] == [5, 5]
    cut_off.lose_redis()
    await AdjustStock(cut_off.unit_of_work, now)(the_system("ada"), [_ONE_BROKEN])
    assert [await other.stock() for _ in range(2)] == [4, 4]


async def test_when_redis_is_back_the_shared_caches_are_read_again(start: Start) -> None:
    cut_off, other = await start(), await start()
    await keep(cut_off.unit_of_work, products=[a_product(1, stock=5)])
    assert await other.stock() == 5
    cut_off.lose_redis()
    await AdjustStock(cut_off.unit_of_work, now)(the_system("ada"), [_ONE_BROKEN])
    assert await other.stock() == 4
    cut_off.wire.restore()
    cut_off.wire.cut()
    async with asyncio.timeout(30):
        # The fence ends by itself. Then the page that the outage left behind is gone, too.
        while other.fence.is_up() or (await other.catalogue.get(PAGE))[1] is None:
            assert await cut_off.stock() == await other.stock() == 4
            await asyncio.sleep(0.05)


async def test_a_replica_that_reaches_redis_raises_no_fence(start: Start, postgres_engine: AsyncEngine) -> None:
    one, other = await start(), await start()
    await keep(one.unit_of_work, products=[a_product(1, stock=5)])
    await AdjustStock(one.unit_of_work, now)(the_system("ada"), [_ONE_BROKEN])
    assert await other.stock() == 4
    assert await Processes(postgres_engine).end() is None


@define(eq=False)
class Counting:
    """Counts how often it was raised."""

    raised: int = 0

    async def raise_and_wait(self) -> None:
        self.raised += 1

    def is_up(self) -> bool:
        return False

    async def look(self) -> None: ...


class OutOfReach(MemoryRecentOrders):
    async def put_many(self, orders: Sequence[Order]) -> bool:
        return False


async def test_a_new_order_waits_for_nobody(sql_engine: AsyncEngine) -> None:
    """There is no older version of it that anybody could read."""
    fence = Counting()
    told = PropagateChanges(OutOfReach(), MemoryCatalogueCache(), MemoryStockCache(), fence, MemoryOutboxSignal())
    uow = SqlUnitOfWork(sql_engine, told)
    lines = an_order().lines
    order, _ = Order.place(order_id=OrderId(uuid7()), user_id=an_order().user_id, lines=lines, at=NOW)
    await keep(uow, products=[a_product(line.product_id) for line in lines])
    await keep(uow, orders=[order])
    assert fence.raised == 0
    await CancelOrder(uow, now)([order.id])
    assert fence.raised == 1
