"""Redis refuses, resets, doesn't answer, runs full, or loses data: no client reads outdated orders."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import pytest
from attrs import define, evolve, field, frozen
from redis.asyncio import Redis
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from adapters.redis.catalogue_cache import RedisCatalogueCache
from adapters.redis.client import BadAddress, open_redis
from adapters.redis.recent_orders import RedisRecentOrders
from application.ports.caching import CataloguePage
from domain.ids import OrderId
from domain.orders.order import Order
from tests.servers import RedisServer
from tests.unit.builders import a_product, an_order

PAGE = CataloguePage(after=None, limit=10)
# A long timeout, for tests in which a loaded machine must not look like an outage.
LONG_TIMEOUT = 1.0
# In seconds: a hundred timeouts of 0.2 s would take twice as long, and one is far below it on any machine.
_FAR_FROM_A_HUNDRED = 10.0


@define(eq=False)
class Road:
    """A proxy to Redis, which a test can close in three manners."""

    _url: str
    carried: int = field(default=0, init=False)
    # How often data came while the road was closed by silence.
    held_back: int = field(default=0, init=False)
    _closed: str = field(default="", init=False)
    _open: asyncio.Event = field(factory=asyncio.Event, init=False)
    _server: asyncio.Server = field(init=False)
    _travellers: set[asyncio.Task[None]] = field(factory=set, init=False)

    async def __aenter__(self) -> Self:
        self._open.set()
        self._server = await asyncio.start_server(self._travel, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._stop_travellers()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        port = self._server.sockets[0].getsockname()[1]
        return urlunsplit(urlsplit(self._url)._replace(netloc=f"127.0.0.1:{port}"))

    async def close(self, manner: str) -> None:
        """`silence` swallows what is sent, `reset` ends connections at once, `swallow answers` only the replies."""
        self._closed = manner
        if manner == "silence":
            self._open.clear()
        if manner == "reset":
            await self._stop_travellers()

    def open(self) -> None:
        self._closed = ""
        self._open.set()

    async def _stop_travellers(self) -> None:
        for task in self._travellers:
            task.cancel()
        await asyncio.gather(*self._travellers, return_exceptions=True)

    async def _travel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._travellers.add(task)
        there = None
        try:
            if self._closed != "reset":
                address = urlsplit(self._url)
                back, there = await asyncio.open_connection(address.hostname, address.port)
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._carry(reader, there, is_answer=False))
                    both.create_task(self._carry(back, writer, is_answer=True))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, there):
                if end is not None:
                    end.transport.abort()
            self._travellers.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        while data := await reader.read(65536):
            self.held_back += not self._open.is_set()
            await self._open.wait()
            if not (is_answer and self._closed == "swallow answers"):
                writer.write(data)
                await writer.drain()
                self.carried += not is_answer
        raise ConnectionResetError


@frozen
class Process:
    """One process of the shop, with its caches."""

    orders: RedisRecentOrders
    catalogue: RedisCatalogueCache

    async def kept(self, order: Order) -> Order | None:
        return (await self.orders.get_many([order.id])).get(order.id)

    async def page(self) -> Any:
        return (await self.catalogue.get(PAGE))[1]

    async def keep_page(self, stock: int) -> None:
        page, _ = await self.catalogue.get(PAGE)
        await self.catalogue.put(page, [a_product(stock=stock)])


@pytest.fixture
def namespace() -> str:
    return f"test:{secrets.token_hex(8)}"


@pytest.fixture
async def road(redis_url: str) -> AsyncIterator[Road]:
    async with Road(redis_url) as road:
        yield road


Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(namespace: str) -> AsyncIterator[Start]:
    """Starts a process on the given road to Redis."""
    async with AsyncExitStack() as stack:

        async def start(
            url: str,
            *,
            timeout: float = LONG_TIMEOUT,  # noqa: ASYNC109 - as `open_redis` has it
            connect_timeout: float = 2.0,
            retry_every: float = 0.05,
        ) -> Process:
            redis = await stack.enter_async_context(
                open_redis(url, timeout=timeout, connect_timeout=connect_timeout, retry_every=retry_every)
            )
            return Process(RedisRecentOrders(redis, namespace, settle=0), RedisCatalogueCache(redis, namespace))

        yield start


def a_new_order() -> Order:
    return evolve(an_order(), id=OrderId(uuid7()))


def at_version(order: Order, version: int) -> Order:
    return evolve(order, version=version)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in a server
            await asyncio.sleep(0.01)


async def reads_nothing_older(process: Process, order: Order) -> bool:
    return await process.kept(order) in (None, order)


async def has_returned(process: Process) -> None:
    """Until the process uses Redis again."""
    order = a_new_order()

    async def is_kept() -> bool:
        await process.orders.put_many([order])
        return await process.kept(order) is not None

    await until(is_kept)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    yield
    assert loop.time() - began < seconds


@pytest.mark.parametrize("manner", ["silence", "reset", "swallow answers"])
async def test_a_hundred_calls_without_redis_take_about_one_timeout(road: Road, start: Start, manner: str) -> None:
    process, order = await start(road.url, timeout=0.2), a_new_order()
    await has_returned(process)
    await road.close(manner)
    async with within(_FAR_FROM_A_HUNDRED):
        for _ in range(34):
            assert await process.orders.get_many([order.id]) == {}
            await process.orders.put_many([order])
            assert (await process.catalogue.get(PAGE))[1] is None
    async with within(_FAR_FROM_A_HUNDRED):
        await asyncio.gather(*(process.orders.get_many([order.id]) for _ in range(100)))


async def test_a_hundred_calls_at_once_to_a_silent_redis_take_about_one_timeout(road: Road, start: Start) -> None:
    process, order = await start(road.url, timeout=0.2), a_new_order()
    await has_returned(process)
    await road.close("silence")
    async with within(_FAR_FROM_A_HUNDRED):
        answers = await asyncio.gather(
            *(process.orders.get_many([order.id]) for _ in range(50)),
            *(process.orders.put_many([order]) for _ in range(50)),
        )
    assert not any(answers)


@pytest.mark.parametrize("manner", ["silence", "reset"])
async def test_a_process_that_starts_without_redis_takes_it_up_when_it_is_there(
    road: Road, start: Start, manner: str
) -> None:
    await road.close(manner)
    async with within(_FAR_FROM_A_HUNDRED):
        process = await start(road.url, timeout=0.2, connect_timeout=0.2)
        await process.orders.put_many([a_new_order()])
        await process.catalogue.begin_epoch()
        assert await process.page() is None
    road.open()
    await has_returned(process)
    await process.keep_page(5)
    assert await process.page() == [a_product(stock=5)]


async def test_no_server_at_the_address_is_no_error(start: Start, unused_tcp_port: int) -> None:
    process = await start(f"redis://127.0.0.1:{unused_tcp_port}/0")
    await process.orders.put_many([a_new_order()])
    assert await process.page() is None


@pytest.mark.parametrize("manner", ["silence", "reset", "swallow answers"])
async def test_an_order_whose_new_version_was_not_written_is_invalidated_for_all(
    road: Road, redis_url: str, start: Start, manner: str
) -> None:
    cut_off, another = await start(road.url, timeout=0.2), await start(redis_url)
    order = a_new_order()
    await cut_off.orders.put_many([order])
    assert await another.kept(order) == order
    await road.close(manner)
    await cut_off.orders.put_many([at_version(order, 2)])
    assert await cut_off.kept(order) is None
    road.open()
    await has_returned(cut_off)
    # The new version where the reply alone was lost, and otherwise none: but never the old one again.
    assert await another.kept(order) in (None, at_version(order, 2))
    assert await cut_off.kept(order) in (None, at_version(order, 2))
    await another.orders.put_many([order])
    await another.orders.put_many([at_version(order, 2)])
    assert await cut_off.kept(order) == at_version(order, 2)


async def test_a_reader_who_was_slower_than_the_outage_brings_nothing_old_back(
    road: Road, redis_url: str, start: Start
) -> None:
    cut_off, slow = await start(road.url, timeout=0.2), await start(redis_url)
    order = a_new_order()
    # It reads version 1 from the database, and is held up.
    assert await slow.kept(order) is None
    page, _ = await slow.catalogue.get(PAGE)
    await road.close("silence")
    await cut_off.orders.put_many([at_version(order, 2)])
    await cut_off.catalogue.begin_epoch()
    road.open()
    await has_returned(cut_off)
    await slow.orders.put_many([order])
    await slow.catalogue.put(page, [a_product(stock=5)])
    assert await slow.kept(order) is None
    assert await cut_off.kept(order) is None
    assert await slow.page() is None


@pytest.mark.parametrize("is_its_first_call", [False, True])
async def test_a_put_that_is_on_its_way_while_a_newer_one_is_missed_is_not_kept_when_it_comes(
    redis_url: str, start: Start, *, is_its_first_call: bool
) -> None:
    async with Road(redis_url) as slow_road, Road(redis_url) as other_road:
        slow = await start(slow_road.url, timeout=0.2, retry_every=60)
        other = await start(other_road.url, timeout=0.2)
        order = a_new_order()
        await other.orders.put_many([order])
        if not is_its_first_call:
            await slow.orders.put_many([order])
        # The command is sent, and its sender times out. A command in transit can't be recalled.
        await slow_road.close("silence")
        await slow.orders.put_many([at_version(order, 2)])
        await other_road.close("reset")
        await other.orders.put_many([at_version(order, 3)])
        other_road.open()
        await has_returned(other)
        carried = slow_road.carried

        async def has_come() -> bool:
            return slow_road.carried > carried

        slow_road.open()
        await until(has_come)
        # No caller waits for its answer any more; Redis has run it by one of these reads.
        for _ in range(50):
            assert await other.kept(order) is None
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("manner", ["silence", "reset"])
async def test_a_page_whose_new_epoch_was_not_written_is_invalidated_for_all(
    road: Road, redis_url: str, start: Start, manner: str
) -> None:
    cut_off, another = await start(road.url, timeout=0.2), await start(redis_url)
    await another.keep_page(5)
    assert await cut_off.page() == [a_product(stock=5)]
    await road.close(manner)
    await cut_off.catalogue.begin_epoch()
    road.open()
    await has_returned(cut_off)
    assert await another.page() is None
    assert await cut_off.page() is None


async def test_a_write_that_was_given_up_by_its_caller_is_taken_for_missed(road: Road, start: Start) -> None:
    process, order = await start(road.url), a_new_order()
    await process.orders.put_many([order])
    await road.close("silence")
    put = asyncio.ensure_future(process.orders.put_many([at_version(order, 2)]))

    async def is_on_its_way() -> bool:
        return road.held_back > 0

    await until(is_on_its_way)
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    # Data in transit is lost with the connection.
    await road.close("reset")
    road.open()
    await has_returned(process)
    assert await process.kept(order) in (None, at_version(order, 2))


async def test_a_write_goes_on_without_its_caller_and_redis_stays_in_use(road: Road, start: Start) -> None:
    process, order = await start(road.url), a_new_order()
    await process.orders.put_many([order])
    put = asyncio.ensure_future(process.orders.put_many([at_version(order, 2)]))
    await asyncio.sleep(0)
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    # At once: to return would take longer.
    assert await process.kept(order) == at_version(order, 2)


async def test_a_process_that_ends_invalidates_what_it_missed(
    road: Road, redis_url: str, namespace: str, start: Start
) -> None:
    another, order = await start(redis_url), a_new_order()
    await another.orders.put_many([order])
    async with open_redis(road.url, timeout=LONG_TIMEOUT, retry_every=60) as redis:
        orders = RedisRecentOrders(redis, namespace)
        await road.close("reset")
        await orders.put_many([at_version(order, 2)])
        road.open()
    assert await another.kept(order) is None


async def test_a_loop_that_is_held_up_itself_does_not_take_redis_for_gone(redis_url: str, start: Start) -> None:
    process, order = await start(redis_url, timeout=0.2), a_new_order()
    await has_returned(process)
    await process.orders.put_many([order])
    for _ in range(5):
        read = asyncio.ensure_future(process.kept(order))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251 - as a long computation does
        assert await read == order


async def test_redis_killed_and_started_empty_is_used_again(own_redis: RedisServer, start: Start) -> None:
    process, order = await start(own_redis.url), a_new_order()
    await process.orders.put_many([order])
    await asyncio.to_thread(own_redis.kill)
    await process.orders.put_many([at_version(order, 2)])
    assert await process.kept(order) is None
    await asyncio.to_thread(own_redis.start)
    await has_returned(process)
    await process.orders.put_many([at_version(order, 2)])
    assert await process.kept(order) == at_version(order, 2)


async def test_redis_stopped_and_continued_shows_nothing_old(own_redis: RedisServer, start: Start) -> None:
    process, reader = await start(own_redis.url, timeout=0.2), await start(own_redis.url, timeout=0.2)
    order = a_new_order()
    await process.orders.put_many([order])
    await process.keep_page(5)
    own_redis.pause()
    await process.orders.put_many([at_version(order, 2)])
    await process.catalogue.begin_epoch()
    assert await reader.kept(order) is None
    own_redis.resume()
    await has_returned(reader)
    assert await reader.kept(order) in (None, at_version(order, 2))
    assert await reader.page() is None


async def test_redis_restarted_from_an_old_snapshot_between_two_calls_shows_nothing_old(
    own_redis: RedisServer, start: Start
) -> None:
    process, order = await start(own_redis.url), a_new_order()
    await process.orders.put_many([order])
    await process.keep_page(5)
    async with Redis.from_url(own_redis.url) as raw:
        await raw.save()
        # Both are lost at once, so that no process notices the outage.
        await process.orders.put_many([at_version(order, 2)])
        await process.catalogue.begin_epoch()
        await asyncio.to_thread(own_redis.kill)
        await asyncio.to_thread(own_redis.start)
    async with Redis.from_url(own_redis.url) as raw:
        assert len([key async for key in raw.scan_iter("*:order:*")]) == 1
    assert await process.kept(order) is None
    assert await process.page() is None


async def test_a_full_redis_shows_nothing_old(own_redis: RedisServer, start: Start) -> None:
    process, another = await start(own_redis.url), await start(own_redis.url)
    order = a_new_order()
    await process.orders.put_many([order])
    await another.keep_page(5)
    async with Redis.from_url(own_redis.url) as raw:
        await raw.config_set("maxmemory-policy", "noeviction")
        await raw.config_set("maxmemory", 1)
        await process.orders.put_many([at_version(order, 2)])
        await process.catalogue.begin_epoch()
        # A script that has removed something may write although the memory is full: then the new version is read.
        await until(lambda: reads_nothing_older(another, at_version(order, 2)))
        assert await another.page() is None
        await raw.config_set("maxmemory", 0)
    await has_returned(process)
    await has_returned(another)


async def test_a_right_that_the_user_lacks_is_an_error_that_says_so(own_redis: RedisServer, start: Start) -> None:
    url = own_redis.url.replace("redis://", "redis://shop:secret@")
    async with Redis.from_url(own_redis.url) as raw:
        await raw.execute_command("ACL", "SETUSER", "shop", "on", ">secret", "~*", "+@all", "-eval", "-evalsha")
        with capture_logs() as said:
            process, order = await start(url), a_new_order()
            assert not await process.orders.put_many([order])
        assert await process.kept(order) is None
        [line] = said
        assert (line["log_level"], line["event"]) == ("error", "Redis refuses this user; going on without it")
        assert "no permissions to run" in line["reason"]
        assert "ACL SETUSER" in line["advice"]
        await raw.execute_command("ACL", "SETUSER", "shop", "+@all")
    await has_returned(process)


async def test_a_wrong_password_is_an_error_that_says_so_at_the_start(own_redis: RedisServer, start: Start) -> None:
    async with Redis.from_url(own_redis.url) as raw:
        await raw.execute_command("ACL", "SETUSER", "shop", "on", ">secret", "~*", "+@all")
        with capture_logs() as said:
            process = await start(own_redis.url.replace("redis://", "redis://shop:mistyped@"))
        [line] = [line for line in said if line["log_level"] != "debug"]
        assert (line["log_level"], line["event"]) == ("error", "Redis refuses this user; starting without it")
        assert "mistyped" not in str(said)
        await raw.execute_command("ACL", "SETUSER", "shop", ">mistyped")
    await has_returned(process)


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost", "http://localhost", "redis://:sec/ret@localhost", "redis://:secret@h:port"),
        *("redis://:secret@h/0?ssl=true", "rediss://:secret@h/0?ssl_cert_reqs=maybe"),
    ],
)
async def test_what_is_no_address_is_said_at_once_and_not_repeated(url: str) -> None:
    with pytest.raises(BadAddress, match="redis://") as refused:
        async with open_redis(url):
            pass
    assert "sec" not in str(refused.value)
