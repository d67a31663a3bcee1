"""Faults of Holdfast's processes, of the payment provider, and of several servers at once."""

import asyncio
import random
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

import aiohttp

from application.ports.outbox import LEASE_SECONDS
from tests.integration.faults.fault import GOES_ON, Fault
from tests.integration.faults.house import House
from tests.servers import free_port
from tests.servers.packages import ServerMissing, find_faketime, find_or_install
from tests.service import until


@asynccontextmanager
async def _api_killed(house: House) -> AsyncIterator[None]:
    for _ in range(5):
        await asyncio.to_thread(house.process("api").kill)
        await house.start("api")
        await asyncio.sleep(0.3)
    yield


@asynccontextmanager
async def _hundred_kills(house: House) -> AsyncIterator[None]:
    """Kill API and PostgreSQL at random moments."""
    chance = random.Random(100)
    kills = {"api": 40, "postgres": 60}

    async def kill_api() -> None:
        for _ in range(kills["api"]):
            await asyncio.to_thread(house.process("api").kill)
            await house.kill("api")
            house.service.start("api")
            await asyncio.sleep(chance.uniform(1.0, 2.0))

    async def kill_postgres() -> None:
        for _ in range(kills["postgres"]):
            await asyncio.to_thread(house.postgres.kill)
            await asyncio.to_thread(house.postgres.start)
            await asyncio.sleep(chance.uniform(0.1, 1.0))

    await asyncio.gather(kill_api(), kill_postgres())
    yield
    await house.ready()


@asynccontextmanager
async def _api_restarted(house: House) -> AsyncIterator[None]:
    for _ in range(3):
        process = house.process("api")
        process.send(signal.SIGTERM)
        status = await asyncio.to_thread(process.wait)
        assert status == 0, process.tail()
        await house.start("api")
    yield


@asynccontextmanager
async def _api_frozen(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.process("api").pause)
    yield
    await asyncio.to_thread(house.process("api").resume)


@asynccontextmanager
async def _no_file_left(house: House) -> AsyncIterator[None]:
    pid = house.process("api").pid
    files = await asyncio.to_thread(lambda: list(Path(f"/proc/{pid}/fd").iterdir()))
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(files) + 3, hard))
    opened = [await asyncio.open_connection("127.0.0.1", house.service.port) for _ in range(50)]
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        for _, writer in opened:
            writer.close()
        for _, writer in opened:
            with suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def _killed_often(house: House, *, name: str, times: int) -> AsyncIterator[None]:
    chance = random.Random(name)
    for _ in range(times):
        await house.kill(name)
        await house.start(name)
        # From its first breath to the middle of its work.
        await asyncio.sleep(chance.uniform(0.3, 2.0))
    yield


@asynccontextmanager
async def _dead_for_good(house: House, *, name: str) -> AsyncIterator[None]:
    await house.start(f"{name}-2")
    await asyncio.sleep(2)
    await house.kill(name)
    yield


@asynccontextmanager
async def _relay_frozen(house: House) -> AsyncIterator[None]:
    await house.start("relay-2")
    await asyncio.sleep(2)
    await asyncio.to_thread(house.process("relay").pause)
    yield
    await asyncio.to_thread(house.process("relay").resume)


@asynccontextmanager
async def _relays_in_turns(house: House) -> AsyncIterator[None]:
    """Three relays, of which one is killed, and each of the others is frozen past its lease and woken, in turns."""
    port = free_port()
    await house.start("relay-2", "relay-3")
    await house.start("api-2", HOLDFAST_PORT=str(port))
    house.api_urls.append(f"http://127.0.0.1:{port}")
    try:
        for frozen, killed in (("relay", "relay-2"), ("relay-2", "relay-3"), ("relay-3", "relay")):
            await asyncio.to_thread(house.process(frozen).pause)
            await house.kill(killed)
            await house.start(killed)
            # Longer than a lease, so that another relay is active when this one wakes in the middle of its work.
            await asyncio.sleep(LEASE_SECONDS + 1.5)
            await asyncio.to_thread(house.process(frozen).resume)
        yield
    finally:
        house.api_urls.pop()
        await house.kill("relay-2", "relay-3", "api-2")


@asynccontextmanager
async def _worker_frozen(house: House) -> AsyncIterator[None]:
    """In the middle of a transaction, so that it keeps the rows of orders locked."""
    await house.start("worker-2")
    frozen = house.process("worker")
    locked: list[UUID] = []

    async def holds_locks() -> bool:
        await asyncio.to_thread(frozen.pause)
        # Other workers release their locks in this time.
        await asyncio.sleep(0.1)
        locked[:] = await _locked_orders(house)
        if not locked:
            await asyncio.to_thread(frozen.resume)
        return bool(locked)

    await until(holds_locks, seconds=60, what="the worker is frozen in a transaction")
    async with aiohttp.ClientSession() as http, asyncio.TaskGroup() as tasks:
        clients = [tasks.create_task(_pay_again_and_again(http, house, order_id)) for order_id in locked[:3]]
        neighbour = tasks.create_task(_buy_for(http, house, seconds=8))
        yield
        # Requests for locked orders must not hold up the others.
        assert set(await neighbour) == {201, 202}
        for task in clients:
            task.cancel()
    await asyncio.to_thread(frozen.resume)


async def _locked_orders(house: House) -> list[UUID]:
    async with house.sql() as connection, connection.transaction():
        free = "SELECT id FROM orders WHERE status = 'PROCESSING' FOR UPDATE SKIP LOCKED"
        ids = {row["id"] for row in await connection.fetch(free)}
        waiting = await connection.fetch("SELECT id FROM orders WHERE status = 'PROCESSING'")
    return [row["id"] for row in waiting if row["id"] not in ids]


async def _pay_again_and_again(http: aiohttp.ClientSession, house: House, order_id: UUID) -> None:
    while True:
        async with http.post(f"{house.service.url}/orders/{order_id}/pay"):
            await asyncio.sleep(0.1)


async def _buy_for(http: aiohttp.ClientSession, house: House, *, seconds: float) -> list[int]:
    """Place orders and pay for them; what was answered."""
    answers: list[int] = []
    until_then = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until_then:
        body = {"user_id": next(house.customers), "items": [{"product_id": house.products[1], "quantity": 1}]}
        async with http.post(f"{house.service.url}/orders", json=body) as response:
            answers.append(response.status)
            order = await response.json(content_type=None)
        async with http.post(f"{house.service.url}/orders/{order.get('order_id')}/pay") as response:
            answers.append(response.status)
        await asyncio.sleep(0.05)
    return answers


@asynccontextmanager
async def _several(house: House, *, name: str) -> AsyncIterator[None]:
    await house.start(f"{name}-2", f"{name}-3")
    yield
    await house.kill(f"{name}-2", f"{name}-3")


@asynccontextmanager
async def _all_killed(house: House) -> AsyncIterator[None]:
    await house.kill("api", "worker", "relay")
    yield
    await house.start("worker", "relay", "api")


@asynccontextmanager
async def _clock(house: House, *, name: str, by: str) -> AsyncIterator[None]:
    await house.start(name, LD_PRELOAD=str(find_faketime()), FAKETIME=by, FAKETIME_DONT_FAKE_MONOTONIC="1")
    yield
    await house.start(name)


def _no_faketime() -> str | None:
    try:
        find_or_install("libfaketime", lambda _: None)
    except ServerMissing as missing:
        return str(missing)
    return None


@asynccontextmanager
async def _provider(house: House, **settings: str) -> AsyncIterator[None]:
    await house.start("worker", **settings)
    yield
    await house.start("worker")


@asynccontextmanager
async def _two_killed(house: House) -> AsyncIterator[None]:
    await asyncio.gather(*(asyncio.to_thread(server.kill) for server in (house.postgres, house.rabbitmq)))
    yield
    await asyncio.gather(*(asyncio.to_thread(server.start) for server in (house.postgres, house.rabbitmq)))


@asynccontextmanager
async def _all_servers_killed(house: House) -> AsyncIterator[None]:
    servers = (house.postgres, house.redis, house.rabbitmq)
    await asyncio.gather(*(asyncio.to_thread(server.kill) for server in servers))
    yield
    await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers))


@asynccontextmanager
async def _database_and_cache_restarted(house: House) -> AsyncIterator[None]:
    await asyncio.gather(*(asyncio.to_thread(server.kill) for server in (house.postgres, house.redis)))
    await asyncio.gather(*(asyncio.to_thread(server.start) for server in (house.postgres, house.redis)))
    yield


_on_api: Final = partial(Fault, api_is_there=False)
# Faults of workers, relays and the provider must not affect placing and reading.
_behind: Final = partial(Fault, goes_on=GOES_ON)

FAULTS: Final = (
    # The longest goes first, beside all others.
    _on_api(name="API and PostgreSQL are killed, 100 times", breaking=_hundred_kills, hold=0),
    _on_api(name="The API is killed, 5 times", breaking=_api_killed, hold=0),
    _on_api(name="The API is stopped and started, 3 times", breaking=_api_restarted, hold=0, nothing_unknown=True),
    _on_api(name="The API is frozen for 5 s", breaking=_api_frozen, hold=5),
    _on_api(name="The API has no file descriptor left", breaking=_no_file_left),
    _behind(name="The worker is killed, 6 times", breaking=partial(_killed_often, name="worker", times=6), hold=0),
    _behind(
        name="One of two workers is killed for good",
        breaking=partial(_dead_for_good, name="worker"),
        hold=0,
        within=15,
    ),
    Fault(name="One of two workers is frozen for 8 s", breaking=_worker_frozen, hold=8, goes_on=("place", "read")),
    _behind(name="The relay is killed, 6 times", breaking=partial(_killed_often, name="relay", times=6), hold=0),
    _behind(name="One of two relays is frozen for 8 s", breaking=_relay_frozen, hold=8),
    _behind(name="Three relays run at once", breaking=partial(_several, name="relay")),
    _behind(name="Three relays are killed, frozen past their lease and woken, in turns", breaking=_relays_in_turns),
    _behind(name="Three workers run at once", breaking=partial(_several, name="worker")),
    _on_api(name="All processes are killed at once", breaking=_all_killed, hold=1),
    _behind(
        name="The worker's clock is an hour fast",
        breaking=partial(_clock, name="worker", by="+1h"),
        missing=_no_faketime,
    ),
    _on_api(
        name="The API's clock is an hour slow", breaking=partial(_clock, name="api", by="-1h"), missing=_no_faketime
    ),
    _behind(
        name="Half of the provider's calls fail, half of those after it charged",
        breaking=partial(_provider, HOLDFAST_GATEWAY_FAILURE_RATE="0.5"),
        hold=5,
    ),
    _behind(
        name="The provider fails in a storm: 95 of 100 calls",
        breaking=partial(_provider, HOLDFAST_GATEWAY_FAILURE_RATE="0.95"),
        hold=5,
    ),
    _behind(name="The provider takes 2 to 4 s", breaking=partial(_provider, HOLDFAST_GATEWAY_DELAY="2s-4s"), hold=5),
    Fault(name="PostgreSQL and RabbitMQ are killed together", breaking=_two_killed, hold=2),
    Fault(name="PostgreSQL and Redis are killed together", breaking=_database_and_cache_restarted, hold=1),
    Fault(name="All three servers are killed together", breaking=_all_servers_killed, hold=2),
)
