"""One key is one order, whatever breaks between the client and the database."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from attrs import frozen

from tests.cables import Cable, cable
from tests.service import Service, until

# Responses that are not stored and are worth a retry: in flight, overloaded, unavailable.
TRY_AGAIN = {409, 503}


@frozen
class Answer:
    """The response to a client under a key."""

    status: int
    body: bytes
    location: str | None
    replayed: bool


@pytest.fixture
async def service(stopped: Service) -> Service:
    # While a busy machine is slow to commit, an order would be queued, and be answered with 202.
    stopped.settings["HOLDFAST_INTAKE"] = "direct"
    await asyncio.to_thread(stopped.start_all, ["api"] if "AMQP_URL" in stopped.settings else ["up"])
    return stopped


@pytest.fixture
async def wire(on_servers: Service) -> AsyncIterator[Cable]:
    async with cable(on_servers.settings["DATABASE_URL"]) as wire:
        yield wire


@pytest.fixture
async def wired(on_servers: Service, wire: Cable) -> Service:
    """An API with a cable to PostgreSQL that the test can interrupt."""
    on_servers.settings |= {"DATABASE_URL": wire.url, "HOLDFAST_INTAKE": "direct"}
    await asyncio.to_thread(on_servers.start_all, ["api"])
    return on_servers


async def ask(client: aiohttp.ClientSession, url: str, key: str, *, product: int, customer: int = 1) -> Answer:
    body = {"user_id": customer, "items": [{"product_id": product, "quantity": 1}]}
    async with client.post(f"{url}/orders", json=body, headers={"Idempotency-Key": key}) as response:
        return Answer(
            response.status,
            await response.read(),
            response.headers.get("Location"),
            response.headers.get("Idempotent-Replayed") == "true",
        )


async def ask_until_told(client: aiohttp.ClientSession, url: str, key: str, *, product: int) -> Answer:
    """Retry like a client that doesn't give up."""
    async with asyncio.timeout(60):
        while True:
            try:
                answer = await ask(client, url, key, product=product)
                if answer.status not in TRY_AGAIN:
                    return answer
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


async def orders(client: aiohttp.ClientSession, service: Service, customer: int = 1) -> list[dict[str, Any]]:
    async with client.get(f"{service.url}/orders?user_id={customer}&limit=200") as response:
        assert response.status == 200
        found: list[dict[str, Any]] = (await response.json())["items"]
        return found


def the_same(answers: Sequence[Answer]) -> Answer:
    """The response without the header that says it is replayed."""
    [told] = {(answer.status, answer.body, answer.location) for answer in answers}
    return Answer(*told, replayed=False)


async def test_two_hundred_at_once_under_one_key_are_one_order(service: Service, client: aiohttp.ClientSession) -> None:
    product = await asyncio.to_thread(service.add_product, stock=10)
    key = str(uuid4())

    answers = await asyncio.gather(*(ask(client, service.url, key, product=product) for _ in range(200)))
    assert {answer.status for answer in answers} <= {201, 409}
    # A client that got "in flight" retries, and gets the stored response.
    answers += await asyncio.gather(*(ask(client, service.url, key, product=product) for _ in range(200)))

    told = [answer for answer in answers if answer.status == 201]
    assert the_same(told).location
    assert [answer.replayed for answer in told].count(False) == 1
    assert all(answer.status == 201 for answer in answers[200:])
    [order] = await orders(client, service)
    assert order["order_id"] in str(the_same(told).location)
    assert await service.findings() == []


async def test_two_processes_make_one_order_of_one_key(
    on_servers: Service, tmp_path_factory: pytest.TempPathFactory, client: aiohttp.ClientSession
) -> None:
    second = Service(folder=tmp_path_factory.mktemp("second"), settings=on_servers.settings)
    try:
        for service in (on_servers, second):
            await asyncio.to_thread(service.start_all, ["api"])
        product = await asyncio.to_thread(on_servers.add_product, stock=10)
        keys = [f"key {number}" for number in range(30)]
        told = await asyncio.gather(
            *(
                ask_until_told(client, service.url, key, product=product)
                for key in keys
                for service in (on_servers, second, on_servers, second)
            )
        )
    finally:
        await asyncio.to_thread(second.kill)
    assert {answer.status for answer in told} == {201}
    for number in range(len(keys)):
        the_same(told[4 * number : 4 * number + 4])
    assert [answer.replayed for answer in told].count(False) <= len(keys)
    assert len(await orders(client, on_servers)) == len(keys)
    assert await on_servers.findings() == []


async def test_a_client_that_retries_while_the_service_is_killed_gets_one_order(
    service: Service, client: aiohttp.ClientSession
) -> None:
    product = await asyncio.to_thread(service.add_product, stock=10)
    intake = next(iter(service.processes.values()))
    told: dict[str, list[Answer]] = {}
    killed = asyncio.Event()

    async def buy() -> None:
        while not killed.is_set():
            key = str(uuid4())
            # Again after the answer, as if that had been lost.
            told[key] = [await ask_until_told(client, service.url, key, product=product) for _ in range(2)]

    async def kill() -> None:
        for _ in range(5):
            count = len(told)
            await until(partial(_longer, told, count + 10), seconds=30, what="orders are taken")
            await asyncio.to_thread(intake.kill)
            await asyncio.to_thread(intake.start)
            await asyncio.to_thread(service.wait_until_ready)
        killed.set()

    async with asyncio.timeout(150):
        await asyncio.gather(kill(), *(buy() for _ in range(8)))
    told_orders = [the_same(answers) for answers in told.values()]
    assert {answer.status for answer in told_orders} == {201}
    assert all(second.replayed for _, second in told.values())
    assert len({answer.location for answer in told_orders}) == len(told)
    assert await _count(client, service) == len(told)
    assert await service.findings() == []


async def _longer(told: dict[str, list[Answer]], count: int) -> bool:
    return len(told) >= count


async def _count(client: aiohttp.ClientSession, service: Service) -> int:
    count, cursor = 0, ""
    while True:
        async with client.get(f"{service.url}/orders?limit=200{cursor}") as response:
            page = await response.json()
        count += len(page["items"])
        if page["next"] is None:
            return count
        cursor = f"&cursor={page['next']}"


async def test_an_order_whose_commit_was_not_answered_is_returned_to_a_retry(
    wired: Service, wire: Cable, client: aiohttp.ClientSession
) -> None:
    product = await asyncio.to_thread(wired.add_product, stock=10)

    wire.loses_answer_to = b"COMMIT"
    lost = await ask(client, wired.url, "monday", product=product)
    again = await ask_until_told(client, wired.url, "monday", product=product)

    assert wire.loses_answer_to is None, "no answer to a commit was lost"
    assert (lost.status, lost.replayed) == (503, False)
    assert (again.status, again.replayed) == (201, True)
    [order] = await orders(client, wired)
    assert again.location == f"/orders/{order['order_id']}"
    assert await wired.findings() == []


async def test_no_order_is_read_as_it_was_before_the_answer_that_was_given_again(
    wired: Service, wire: Cable, client: aiohttp.ClientSession
) -> None:
    product = await asyncio.to_thread(wired.add_product, stock=10)
    order = (await ask(client, wired.url, "monday", product=product)).location

    async def pay() -> tuple[int, int]:
        async with client.post(f"{wired.url}{order}/pay", headers={"Idempotency-Key": "tuesday"}) as response:
            return response.status, (await response.json(content_type=None)).get("version", 0)

    # The process gets no answer to its commit, so it does not update the caches.
    wire.loses_answer_to = b"COMMIT"
    assert await pay() == (503, 0)
    told = await pay()
    async with client.get(f"{wired.url}{order}") as response:
        assert (202, (await response.json())["version"]) == told


async def test_what_has_failed_once_succeeds_under_the_same_key(
    wired: Service, wire: Cable, client: aiohttp.ClientSession
) -> None:
    product = await asyncio.to_thread(wired.add_product, stock=10)

    wire.plugged = False
    wire.cut()
    failed = await ask(client, wired.url, "monday", product=product)
    wire.plugged = True
    told = await ask(client, wired.url, "monday", product=product)
    again = await ask(client, wired.url, "monday", product=product)

    assert (failed.status, failed.replayed) == (503, False)
    assert (told.status, told.replayed) == (201, False)
    assert (again.status, again.replayed) == (201, True)
    the_same([told, again])
    assert len(await orders(client, wired)) == 1
