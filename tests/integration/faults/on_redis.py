"""Faults of Redis and of the connections to it. No order is refused, and clients can read their own orders."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import aiohttp
from redis.asyncio import Redis

from tests.integration.faults.fault import GOES_ON, Fault
from tests.integration.faults.house import House
from tests.servers import free_port
from tests.service import until


@asynccontextmanager
async def _stranger(house: House) -> AsyncIterator[Any]:
    client = Redis.from_url(house.redis.url)
    try:
        yield client
    finally:
        await client.aclose()


@asynccontextmanager
async def _killed(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.redis.kill)
    yield
    await asyncio.to_thread(house.redis.start)


@asynccontextmanager
async def _killed_often(house: House) -> AsyncIterator[None]:
    for _ in range(5):
        await asyncio.to_thread(house.redis.kill)
        await asyncio.to_thread(house.redis.start)
        await asyncio.sleep(0.5)
    yield


@asynccontextmanager
async def _frozen(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.redis.pause)
    yield
    await asyncio.to_thread(house.redis.resume)


@asynccontextmanager
async def _paused(house: House) -> AsyncIterator[None]:
    async with _stranger(house) as client:
        await client.execute_command("CLIENT", "PAUSE", 3000, "WRITE")
        yield


@asynccontextmanager
async def _flushed(house: House) -> AsyncIterator[None]:
    async with _stranger(house) as client:
        for _ in range(30):
            await client.flushall()
            await asyncio.sleep(0.1)
    yield


@asynccontextmanager
async def _full(house: House) -> AsyncIterator[None]:
    async with _stranger(house) as client:
        await client.config_set("maxmemory-policy", "noeviction")
        await client.config_set("maxmemory", "1")
        yield
        await client.config_set("maxmemory", "0")


@asynccontextmanager
async def _slow(house: House) -> AsyncIterator[None]:
    house.to_redis.delay = 0.1
    yield
    house.to_redis.restore()


@asynccontextmanager
async def _cut(house: House) -> AsyncIterator[None]:
    for _ in range(20):
        house.to_redis.cut()
        await asyncio.sleep(0.1)
    yield


@asynccontextmanager
async def _lost_by_one(house: House) -> AsyncIterator[None]:
    """The first API deletes orders while it can't reach Redis; the second one, which can, must not show them."""
    port = free_port()
    second = f"http://127.0.0.1:{port}"
    # Worker and relay have lost Redis as well: nobody else invalidates what the second one reads.
    await house.start("api-2", HOLDFAST_PORT=str(port), REDIS_URL=house.redis.url)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as http:

        async def ask(method: str, url: str, body: Any = None) -> tuple[int, Any]:
            async with http.request(method, url, json=body) as response:
                return response.status, await response.json(content_type=None)

        async def is_there() -> bool:
            with suppress(aiohttp.ClientError):
                return (await ask("GET", f"{second}/health/live"))[0] == 200
            return False

        await until(is_there, seconds=30, what="the second API answers")
        wanted = {"user_id": next(house.customers), "items": [{"product_id": house.products[0], "quantity": 1}]}
        for _ in range(20):
            _, placed = await ask("POST", f"{house.service.url}/orders", wanted)
            path = f"/orders/{placed['order_id']}"
            before, _ = await ask("GET", second + path)
            house.to_redis.silence()
            house.to_redis.silent_from_now = True
            deleted, _ = await ask("DELETE", house.service.url + path)
            after, read = await ask("GET", second + path)
            await asyncio.sleep(0.1)
            house.to_redis.restore()
            if (before, deleted) == (200, 204) and after == 200:
                raise AssertionError(f"an order that was deleted is read on another replica: {read}")
            await asyncio.sleep(0.5)
    yield
    await house.kill("api-2")


_fault: Final = partial(Fault, goes_on=GOES_ON)

FAULTS: Final = (
    _fault(name="Redis is killed and down for 4 s", breaking=_killed, hold=4),
    _fault(name="Redis is killed and started, 5 times", breaking=_killed_often, hold=0),
    _fault(name="Redis is frozen for 5 s", breaking=_frozen, hold=5),
    _fault(name="Redis takes no writes for 3 s (CLIENT PAUSE)", breaking=_paused, hold=3),
    _fault(name="Redis is emptied, 30 times", breaking=_flushed, hold=0),
    _fault(name="Redis is full and evicts nothing", breaking=_full, hold=3),
    _fault(name="Redis is slow: 200 ms a round trip", breaking=_slow, hold=3),
    _fault(name="Connections to Redis are cut, 20 times", breaking=_cut, hold=0),
    _fault(name="One of two APIs loses Redis while it deletes an order, 20 times", breaking=_lost_by_one, hold=0),
)
