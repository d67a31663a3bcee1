"""The whole service as its users run it, on SQLite and on real servers."""

import asyncio
import random
import signal
from collections import Counter
from typing import Any

import aiohttp
import pytest

from tests.service import Service, until

PROCESSES = ("api", "worker", "worker-2", "relay")


@pytest.fixture
async def service(stopped: Service) -> Service:
    await asyncio.to_thread(start, stopped)
    return stopped


def start(service: Service) -> None:
    service.start_all(PROCESSES if "AMQP_URL" in service.settings else ["up"])


async def ask(
    client: aiohttp.ClientSession, method: str, url: str, *, expect: int, body: object = None
) -> dict[str, Any]:
    async with client.request(method, url, json=body) as response:
        answer: dict[str, Any] = await response.json(content_type=None)
        assert response.status == expect, answer
        return answer


async def place(client: aiohttp.ClientSession, service: Service, product: int, quantity: int = 1) -> dict[str, Any]:
    body = {"user_id": 1, "items": [{"product_id": product, "quantity": quantity}]}
    return await ask(client, "POST", f"{service.url}/orders", expect=201, body=body)


async def pay(client: aiohttp.ClientSession, service: Service, order_id: str) -> dict[str, Any]:
    return await ask(client, "POST", f"{service.url}/orders/{order_id}/pay", expect=202)


async def read(client: aiohttp.ClientSession, service: Service, order_id: str) -> dict[str, Any]:
    return await ask(client, "GET", f"{service.url}/orders/{order_id}", expect=200)


async def stock_of(client: aiohttp.ClientSession, service: Service, product: int) -> int:
    answer = await ask(client, "GET", f"{service.url}/products/{product}", expect=200)
    return int(answer["stock"])


async def statuses(client: aiohttp.ClientSession, service: Service, ids: list[str]) -> Counter[tuple[str, str | None]]:
    orders = await asyncio.gather(*(read(client, service, order_id) for order_id in ids))
    return Counter((order["status"], order["failure_reason"]) for order in orders)


async def settled(client: aiohttp.ClientSession, service: Service, ids: list[str], *, seconds: float = 60) -> None:
    waiting = set(ids)

    async def no_order_waits() -> bool:
        for order_id in list(waiting):
            if (await read(client, service, order_id))["status"] == "PROCESSING":
                return False
            waiting.remove(order_id)
        return True

    await until(no_order_waits, seconds=seconds, what="every PROCESSING order ends")


async def test_two_hundred_clients_get_fifty_units_once_each(service: Service, client: aiohttp.ClientSession) -> None:
    product = await asyncio.to_thread(service.add_product, stock=50)

    async def buy() -> str:
        order = await place(client, service, product)
        await pay(client, service, order["order_id"])
        return str(order["order_id"])

    ids = await asyncio.gather(*(buy() for _ in range(200)))
    await settled(client, service, list(ids))

    assert await statuses(client, service, list(ids)) == {("PAID", None): 50, ("FAILED", "out_of_stock"): 150}
    assert await stock_of(client, service, product) == 0
    assert await service.findings() == []


async def test_a_client_reads_its_own_write_and_never_an_older_version(
    service: Service, client: aiohttp.ClientSession
) -> None:
    product = await asyncio.to_thread(service.add_product, stock=1_000)

    async def follow() -> None:
        order = await place(client, service, product)
        seen = (await read(client, service, order["order_id"]))["version"]
        assert seen >= order["version"]
        paid = await pay(client, service, order["order_id"])
        seen = max(seen, paid["version"])
        async with asyncio.timeout(30):
            while True:
                order = await read(client, service, order["order_id"])
                assert order["version"] >= seen
                seen = order["version"]
                if order["status"] == "PAID":
                    return

    await asyncio.gather(*(follow() for _ in range(30)))


async def test_the_product_list_is_right_when_an_order_is_paid(service: Service, client: aiohttp.ClientSession) -> None:
    product = await asyncio.to_thread(service.add_product, stock=10)
    url = f"{service.url}/products?limit=200"
    for left in (9, 8, 7):
        # Read before, so that a page is in the cache.
        await ask(client, "GET", url, expect=200)
        order = await place(client, service, product)
        await pay(client, service, order["order_id"])
        await settled(client, service, [order["order_id"]])
        listed = (await ask(client, "GET", url, expect=200))["items"]
        assert [item["stock"] for item in listed if item["id"] == product] == [left]


async def test_a_refund_gives_back_money_and_stock(service: Service, client: aiohttp.ClientSession) -> None:
    product = await asyncio.to_thread(service.add_product, stock=10)
    order = await place(client, service, product, quantity=3)
    url = f"{service.url}/orders/{order['order_id']}"
    await pay(client, service, order["order_id"])
    await settled(client, service, [order["order_id"]])
    await ask(client, "PATCH", f"{url}/status", expect=202, body={"status": "REFUNDED"})

    async def refunded() -> bool:
        return (await read(client, service, order["order_id"]))["status"] == "REFUNDED"

    await until(refunded, seconds=20, what="the order is refunded")
    assert await stock_of(client, service, product) == 10
    assert [charge.refunded for charge in await service.charges()] == [True]
    assert await service.findings() == []
    events = (await ask(client, "GET", f"{url}/events", expect=200))["items"]
    assert [event["sequence"] for event in events] == list(range(1, 7))


async def test_whatever_is_killed_nothing_is_lost_and_nothing_happens_twice(
    stopped: Service, client: aiohttp.ClientSession
) -> None:
    service = stopped
    service.settings["HOLDFAST_GATEWAY_DELAY"] = "1ms-50ms"
    service.settings["HOLDFAST_GATEWAY_FAILURE_RATE"] = "0.1"
    await asyncio.to_thread(start, service)
    product = await asyncio.to_thread(service.add_product, stock=100_000)
    told: list[str] = []
    done = asyncio.Event()

    async def buy() -> None:
        while not done.is_set():
            try:
                order = await place(client, service, product)
                told.append(order["order_id"])
                await pay(client, service, order["order_id"])
            except (aiohttp.ClientError, AssertionError):
                # Refused or unknown: the intake is gone for a moment.
                await asyncio.sleep(0.05)

    async def kill_at_random() -> None:
        chance = random.Random(7)
        for _ in range(6):
            count = len(told)
            await until(lambda count=count: _is_longer(told, count + 5), seconds=30, what="orders are taken")
            name = chance.choice(sorted(service.processes))
            await asyncio.to_thread(service.processes[name].kill)
            await asyncio.to_thread(service.processes[name].start)
            await asyncio.to_thread(service.wait_until_ready)
        done.set()

    async with asyncio.timeout(150):
        await asyncio.gather(kill_at_random(), *(buy() for _ in range(8)))
    for _ in range(2):
        await settled(client, service, told)

    assert len(told) > 30
    assert set(await statuses(client, service, told)) <= {("PENDING", None), ("PAID", None)}
    assert await service.findings() == []


async def _is_longer(items: list[str], length: int) -> bool:
    return len(items) >= length


async def test_a_stopped_service_goes_on_where_it_was(stopped: Service, client: aiohttp.ClientSession) -> None:
    service = stopped
    service.settings["HOLDFAST_GATEWAY_DELAY"] = "300ms"
    await asyncio.to_thread(start, service)
    product = await asyncio.to_thread(service.add_product, stock=100)
    ids = [(await place(client, service, product))["order_id"] for _ in range(20)]
    for order_id in ids:
        await pay(client, service, order_id)

    exits = await asyncio.to_thread(service.stop)
    assert set(exits.values()) == {0}, service.logs()

    await asyncio.to_thread(start, service)
    await settled(client, service, ids)
    assert await statuses(client, service, ids) == {("PAID", None): 20}
    assert await service.findings() == []


async def test_sigterm_resets_no_accepted_request(service: Service, client: aiohttp.ClientSession) -> None:
    product = await asyncio.to_thread(service.add_product, stock=100_000)
    told: list[str] = []
    resets: list[str] = []

    async def buy() -> None:
        async with aiohttp.ClientSession() as own:
            while True:
                try:
                    told.append((await place(own, service, product))["order_id"])
                except aiohttp.ClientConnectorError:
                    return
                except aiohttp.ClientError as error:
                    resets.append(repr(error))
                    return

    buyers = [asyncio.create_task(buy()) for _ in range(16)]
    await until(lambda: _is_longer(told, 100), seconds=30, what="orders are taken")
    intake = service.processes.get("up") or service.processes["api"]
    intake.send(signal.SIGTERM)
    status = await asyncio.to_thread(intake.wait, seconds=15)
    await asyncio.gather(*buyers)

    assert status == 0, service.logs()
    assert resets == []
    await asyncio.to_thread(start_intake_again, service)
    assert (await statuses(client, service, told)).keys() == {("PENDING", None)}


def start_intake_again(service: Service) -> None:
    (service.processes.get("up") or service.processes["api"]).start()
    service.wait_until_ready()


async def test_an_unpaid_order_expires(stopped: Service, client: aiohttp.ClientSession) -> None:
    stopped.settings["HOLDFAST_ORDER_EXPIRY"] = "1s"
    await asyncio.to_thread(start, stopped)
    product = await asyncio.to_thread(stopped.add_product, stock=10)
    order = await place(client, stopped, product)

    async def expired() -> bool:
        return (await read(client, stopped, order["order_id"]))["status"] == "EXPIRED"

    await until(expired, seconds=15, what="the order expires")
    await ask(client, "POST", f"{stopped.url}/orders/{order['order_id']}/pay", expect=409)


async def test_migrating_twice_at_once_is_safe(stopped: Service) -> None:
    await asyncio.gather(*(asyncio.to_thread(stopped.run, "migrate") for _ in range(3)))
    assert "up to date" in await asyncio.to_thread(stopped.run, "migrate")
