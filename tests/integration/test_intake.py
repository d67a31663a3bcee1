"""An order that is answered with 202 is as safe as one with 201, and both are one order."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, Final
from uuid import UUID

import aiohttp
import asyncpg
import pytest
from attrs import frozen
from redis.asyncio import Redis

from adapters.rabbitmq.topology import Topology
from adapters.sql.core.engine import create_engine
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.access.principal import the_system
from application.catalogue.add_products import AddProducts, NewProduct
from domain.catalogue.product import Product
from domain.ids import OrderId
from domain.money import Money
from domain.orders.order import Order
from tests.brokers import count
from tests.cables import Cable, cable
from tests.servers import RabbitServer, RedisServer
from tests.service import Service, until

# Seconds: longer than the timeout of the database when the queue can take the order.
SLOW: Final = 1.8


@frozen
class Answer:
    status: int
    body: Any
    retry_after: str | None
    replayed: bool

    @property
    def order_id(self) -> str:
        return str(self.body["order_id"])


async def place(
    client: aiohttp.ClientSession, service: Service, product: int, *, key: str | None = None, quantity: int = 1
) -> Answer:
    body = {"user_id": 1, "items": [{"product_id": product, "quantity": quantity}]}
    headers = {} if key is None else {"Idempotency-Key": key}
    async with client.post(f"{service.url}/orders", json=body, headers=headers) as response:
        return Answer(
            response.status,
            await response.json(content_type=None),
            response.headers.get("Retry-After"),
            response.headers.get("Idempotent-Replayed") == "true",
        )


async def read(client: aiohttp.ClientSession, service: Service, order_id: str) -> Any:
    async with client.get(f"{service.url}/orders/{order_id}") as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def recorded(database: str, ids: set[str]) -> dict[OrderId, Order]:
    engine = create_engine(database)
    try:
        async with SqlUnitOfWork(engine).reading() as tx:
            return await tx.orders.get_many({OrderId(UUID(id_)) for id_ in ids})
    finally:
        await engine.dispose()


async def all_recorded(service: Service, ids: set[str]) -> bool:
    return len(await recorded(str(service.database), ids)) == len(ids)


@pytest.fixture
async def wires(on_servers: Service) -> AsyncIterator[tuple[Cable, Cable]]:
    """The cables to the database and to the broker."""
    async with cable(on_servers.settings["DATABASE_URL"]) as database, cable(on_servers.settings["AMQP_URL"]) as broker:
        yield database, broker


@pytest.fixture
async def cache(on_servers: Service) -> AsyncIterator[Cable]:
    async with cable(on_servers.settings["REDIS_URL"]) as redis:
        yield redis


@pytest.fixture
async def product(on_servers: Service) -> int:
    engine = create_engine(on_servers.database)
    try:
        new = NewProduct(name="fountain pen", price=Money(1250, "EUR"), stock=10)
        [added] = await AddProducts(SqlUnitOfWork(engine), lambda: datetime.now(UTC))(the_system("test"), [new])
    finally:
        await engine.dispose()
    assert isinstance(added, Product)
    return added.id


@pytest.fixture
async def wired(on_servers: Service, product: int, wires: tuple[Cable, Cable], cache: Cable) -> Service:
    """An API in `auto`, with cables to the servers that the test can interrupt, and a worker.

    The product is there before: an API knows the price of a new one only after some seconds.
    """
    database, broker = wires
    worker = Service(folder=on_servers.folder, settings=dict(on_servers.settings))
    on_servers.processes["worker"] = worker_process = worker.start("worker")
    assert worker_process.running
    on_servers.settings |= {"DATABASE_URL": database.url, "AMQP_URL": broker.url, "REDIS_URL": cache.url}
    # A busy machine must not take Redis away from a test that is about other servers.
    on_servers.settings |= {"HOLDFAST_REDIS_TIMEOUT": "5s"}
    await asyncio.to_thread(on_servers.start_all, ["api"])
    return on_servers


def pull(*wires: Cable) -> None:
    for wire in wires:
        wire.plugged = False
        wire.cut()


async def test_one_key_is_one_order_by_every_intake(
    wired: Service, product: int, wires: tuple[Cable, Cable], client: aiohttp.ClientSession
) -> None:
    database, _ = wires

    direct = await place(client, wired, product, key="monday")
    pull(database)
    queued = await place(client, wired, product, key="monday")
    new = await place(client, wired, product, key="tuesday")
    new_again = await place(client, wired, product, key="tuesday")
    reused = await place(client, wired, product, key="tuesday", quantity=2)
    database.plugged = True
    ids = {direct.order_id, new.order_id}
    await until(lambda: all_recorded(wired, ids), seconds=30, what="what was queued is recorded")
    direct_again = await place(client, wired, product, key="monday")
    await until(lambda: answers_directly(client, wired, product), seconds=30, what="the database is used again")
    recorded_again = await place(client, wired, product, key="tuesday")

    assert [direct.status, queued.status, new.status, new_again.status, reused.status] == [201, 202, 202, 202, 422]
    assert direct.body == queued.body == direct_again.body
    assert new.body == new_again.body == recorded_again.body
    assert [a.replayed for a in (direct, queued, new, new_again, recorded_again)] == [False, True, False, True, True]
    assert recorded_again.status == 201
    assert len(await recorded(str(wired.database), ids)) == 2
    assert await wired.findings() == []


async def answers_directly(client: aiohttp.ClientSession, service: Service, product: int) -> bool:
    return (await place(client, service, product)).status == 201


async def test_an_order_whose_commit_was_not_answered_is_queued_as_the_same_order(
    wired: Service, product: int, wires: tuple[Cable, Cable], client: aiohttp.ClientSession
) -> None:
    database, _ = wires

    database.loses_answer_to = b"COMMIT"
    accepted = await place(client, wired, product)

    assert database.loses_answer_to is None, "no answer to a commit was lost"
    # 201 if it was not found among the recent orders but in the database.
    assert accepted.status in {201, 202}
    assert await read(client, wired, accepted.order_id) == accepted.body
    await until(lambda: queue_is_empty(wired), seconds=20, what="the worker has dealt with it")
    assert await _count(client, wired) == 1
    assert await wired.findings() == []


async def queue_is_empty(service: Service) -> bool:
    return (
        await count(service.settings["AMQP_URL"], Topology(service.settings["HOLDFAST_NAMESPACE"]).queue("intake")) == 0
    )


async def _count(client: aiohttp.ClientSession, service: Service) -> int:
    async with client.get(f"{service.url}/orders?limit=200") as response:
        return len((await response.json())["items"])


@pytest.mark.parametrize("silent", [False, True])
async def test_with_database_and_broker_gone_no_order_is_promised(
    wired: Service, product: int, wires: tuple[Cable, Cable], client: aiohttp.ClientSession, *, silent: bool
) -> None:
    assert (await place(client, wired, product)).status == 201

    if silent:
        for wire in wires:
            wire.silence()
            wire.silent_from_now = True
    else:
        pull(*wires)
    answers = await asyncio.gather(*(place(client, wired, product) for _ in range(20)))

    assert {answer.status for answer in answers} == {503}
    assert all(int(answer.retry_after or 0) >= 1 for answer in answers)
    for wire in wires:
        wire.plugged, wire.silent_from_now = True, False
        wire.cut_silent()
    await until(lambda: answers_directly(client, wired, product), seconds=30, what="orders are taken again")


@pytest.mark.parametrize("silent", [False, True])
async def test_without_the_broker_a_slow_database_costs_no_order(
    wired: Service, product: int, wires: tuple[Cable, Cable], client: aiohttp.ClientSession, *, silent: bool
) -> None:
    database, broker = wires
    if silent:
        broker.silent_from_now = True
        broker.silence()
    else:
        pull(broker)
    stranger = await asyncpg.connect(database.url)
    try:
        async with stranger.transaction():
            # What is placed meanwhile has its keys by then, and can't go on.
            await stranger.execute("LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE")
            keys = [None if number % 2 else f"key {number}" for number in range(20)]
            asking = [asyncio.create_task(place(client, wired, product, key=key)) for key in keys]
            await asyncio.sleep(SLOW)
    finally:
        await stranger.close()
    answers = await asyncio.gather(*asking)

    # 202 if it was found among the recent orders when it was about to be queued.
    assert [answer.body for answer in answers if answer.status not in {201, 202}] == []
    ids = {answer.order_id for answer in answers}
    assert len(ids) == await _count(client, wired) == 20
    assert await wired.findings() == []
    broker.plugged, broker.silent_from_now = True, False
    broker.cut_silent()
    await until(lambda: queue_is_empty(wired), seconds=20, what="the worker has dealt with what came to the queue")
    assert await _count(client, wired) == 20


async def test_no_request_waits_long_when_no_intake_is_left(
    wired: Service, product: int, wires: tuple[Cable, Cable], client: aiohttp.ClientSession
) -> None:
    for wire in wires:
        wire.silent_from_now = True
        wire.silence()
    loop = asyncio.get_running_loop()
    took: list[float] = []

    async def ask() -> None:
        began = loop.time()
        assert (await place(client, wired, product)).status == 503
        took.append(loop.time() - began)

    async with asyncio.TaskGroup() as asking:
        # The first requests take some seconds, until their timeouts.
        for _ in range(100):
            asking.create_task(ask())
            await asyncio.sleep(0.1)

    assert max(took) < 10
    assert sorted(took[-50:])[25] < 0.5


@pytest.mark.parametrize("cache_gone", [False, True])
async def test_an_order_waits_for_its_record_and_is_then_paid_for(
    wired: Service,
    product: int,
    wires: tuple[Cable, Cable],
    cache: Cable,
    client: aiohttp.ClientSession,
    *,
    cache_gone: bool,
) -> None:
    database, _ = wires
    wired.processes["worker"].pause()
    pull(database)
    accepted = await place(client, wired, product)
    database.plugged = True
    if cache_gone:
        pull(cache)
    url = f"{wired.url}/orders/{accepted.order_id}/pay"

    async with client.post(url, headers={"Idempotency-Key": "pay"}) as response:
        assert response.status == 202
        job = (await response.json())["job_id"]
    wired.processes["worker"].resume()
    await until(lambda: all_recorded(wired, {accepted.order_id}), seconds=30, what="it is recorded")
    async with client.post(url, headers={"Idempotency-Key": "pay"}) as response:
        assert response.status in {200, 202}

    async def payment_is_requested() -> bool:
        return bool((await read(client, wired, accepted.order_id))["version"] >= 2)

    await until(payment_is_requested, seconds=60, what="the payment that waited is requested")
    async with client.get(f"{wired.url}/jobs/{job}") as response:
        assert (await response.json())["kind"] == "change_order"


async def test_changes_are_taken_without_the_database_and_made_in_sequence_when_it_is_back(
    wired: Service, product: int, wires: tuple[Cable, Cable], client: aiohttp.ClientSession
) -> None:
    database, _ = wires

    async def change(method: str, path: str, body: Any = None) -> str:
        async with client.request(method, f"{wired.url}/orders/{path}", json=body) as response:
            assert response.status == 202, await response.text()
            return str((await response.json())["job_id"])

    async def job(id_: str) -> Any:
        async with client.get(f"{wired.url}/jobs/{id_}") as response:
            assert response.status == 200, await response.text()
            return await response.json()

    recorded_before = (await place(client, wired, product)).order_id
    await read(client, wired, recorded_before)
    wired.processes["worker"].pause()
    pull(database)
    accepted = (await place(client, wired, product)).order_id
    asked = [
        await change("PATCH", accepted, {"note": "ring once"}),
        await change("PATCH", accepted, {"note": "ring twice"}),
        await change("POST", f"{accepted}/pay"),
        await change("PATCH", f"{recorded_before}/status", {"status": "CANCELLED"}),
        await change("DELETE", recorded_before),
    ]
    # Too late: her payment was asked for before.
    refused = await change("PATCH", f"{accepted}/status", {"status": "CANCELLED"})
    assert {(await job(id_))["status"] for id_ in [*asked, refused]} == {"AVAILABLE"}
    database.plugged = True
    await until(lambda: _answers(client, wired), seconds=60, what="the database is found again")
    # It is back, and nothing is made yet: this must not overtake what waits.
    asked.append(await change("PATCH", accepted, {"note": "ring three times"}))
    wired.processes["worker"].resume()

    async def all_have_ended() -> bool:
        statuses = {(await job(id_))["status"] for id_ in [*asked, refused]}
        return statuses <= {"COMPLETED", "DISCARDED"}

    await until(all_have_ended, seconds=120, what="every change has been made or refused")
    assert {(await job(id_))["status"] for id_ in asked} == {"COMPLETED"}
    assert (await job(refused))["status"] == "DISCARDED"
    assert (await read(client, wired, accepted))["note"] == "ring three times"
    async with client.get(f"{wired.url}/orders/{accepted}/events") as response:
        history = [event["type"] for event in (await response.json())["items"]]
    assert history.count("order.payment_requested") == history.count("order.change_refused") == 1
    assert "order.cancelled" not in history
    async with client.get(f"{wired.url}/orders/{recorded_before}") as response:
        assert response.status == 404
    assert await wired.findings() == []


async def _answers(client: aiohttp.ClientSession, service: Service) -> bool:
    async with client.get(f"{service.url}/orders") as response:
        return response.status == 200


async def test_what_was_queued_survives_an_emptied_cache_and_a_killed_broker(
    tmp_path: Path,
    new_database: Callable[[], str],
    own_redis: RedisServer,
    own_rabbitmq: RabbitServer,
    client: aiohttp.ClientSession,
) -> None:
    settings = {
        "DATABASE_URL": new_database(),
        "REDIS_URL": own_redis.url,
        "AMQP_URL": own_rabbitmq.url,
        "HOLDFAST_NAMESPACE": f"test-{token_hex(6)}",
        "HOLDFAST_INTAKE": "queued",
    }
    service = Service(folder=tmp_path, settings=settings)
    try:
        await asyncio.to_thread(service.run, "migrate")
        product = await asyncio.to_thread(service.add_product, stock=1_000_000)
        await asyncio.to_thread(service.start_all, ["api"])
        told: set[str] = set()
        statuses: set[int] = set()
        done = asyncio.Event()

        async def buy() -> None:
            while not done.is_set():
                answer = await place(client, service, product)
                statuses.add(answer.status)
                if answer.status in {201, 202}:
                    told.add(answer.order_id)

        buying = [asyncio.create_task(buy()) for _ in range(8)]
        await until(lambda: _longer(told, 300), seconds=30, what="orders are taken")
        async with Redis.from_url(own_redis.url) as redis:
            await redis.flushall()
        await asyncio.to_thread(own_rabbitmq.kill)
        done.set()
        await asyncio.gather(*buying)
        assert 202 in statuses
        assert statuses <= {201, 202, 503}
        assert len(await recorded(str(service.database), told)) < len(told)
        await asyncio.to_thread(own_rabbitmq.start)
        await asyncio.to_thread(service.start, "worker")
        await until(lambda: all_recorded(service, told), seconds=30, what="every order is recorded")
        assert await service.findings() == []
    finally:
        await asyncio.to_thread(service.kill)


async def _longer(told: set[str], length: int) -> bool:
    return len(told) >= length
