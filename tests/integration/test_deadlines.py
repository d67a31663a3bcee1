"""Every request is answered within its deadline while servers don't answer; afterwards everything works again."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from attrs import frozen

from tests.integration.conftest import Wired
from tests.service import until

DEADLINE = 2.0
# What a busy machine needs beside it. Who waits for a silent server without a deadline waits for 10 s at least.
MARGIN = 7.0
UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"


@frozen
class Ask:
    method: str
    path: str
    body: object = None


@pytest.fixture
async def api(wired: Wired) -> AsyncIterator[Wired]:
    wired.service.settings["HOLDFAST_REQUEST_TIMEOUT"] = f"{DEADLINE:g}s"
    await asyncio.to_thread(wired.service.start_all, ["api"])
    yield wired
    await asyncio.to_thread(wired.service.kill)


async def placed(client: aiohttp.ClientSession, url: str, product: int) -> str:
    body = {"user_id": 1, "items": [{"product_id": product, "quantity": 1}]}
    async with client.post(f"{url}/orders", json=body) as response:
        assert response.status in {201, 202}
        return str((await response.json())["order_id"])


def every_route(order: str, product: int) -> list[Ask]:
    return [
        Ask("POST", "/orders", {"user_id": 1, "items": [{"product_id": product, "quantity": 1}]}),
        Ask("GET", "/orders"),
        Ask("GET", f"/orders/{order}"),
        Ask("GET", f"/orders/{UNKNOWN}"),
        Ask("GET", f"/orders/{order}/events"),
        Ask("POST", f"/orders/{order}/pay"),
        *(
            Ask("PATCH", f"/orders/{order}/status", {"status": status})
            for status in ("CANCELLED", "COMPLETED", "REFUNDED")
        ),
        Ask("DELETE", f"/orders/{order}"),
        Ask("GET", "/products"),
        Ask("GET", f"/products/{product}"),
        Ask("GET", "/health/live"),
        Ask("GET", "/health/ready"),
    ]


@pytest.mark.parametrize("silent", ["PostgreSQL", "Redis", "RabbitMQ", "all of them"])
@pytest.mark.parametrize("manner", ["known connections", "every connection"])
async def test_every_route_answers_within_its_deadline(
    api: Wired, client: aiohttp.ClientSession, silent: str, manner: str
) -> None:
    product = await asyncio.to_thread(api.service.add_product, stock=1_000)
    order = await placed(client, api.service.url, product)
    cables = api.cables.values() if silent == "all of them" else [api.cables[silent]]

    async def answer(ask: Ask) -> tuple[Ask, int, float]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with client.request(ask.method, f"{api.service.url}{ask.path}", json=ask.body) as response:
            await response.read()
            assert response.status != 500, await response.text()
            if response.status == 503 and "health" not in ask.path:
                assert response.headers["Retry-After"]
            return ask, response.status, loop.time() - began

    for cable in cables:
        cable.silent_from_now = manner == "every connection"
        cable.silence()
    answers = [*await asyncio.gather(*(answer(ask) for ask in every_route(order, product) * 3))]
    answers += await asyncio.gather(*(answer(ask) for ask in every_route(order, product)))
    late = [(ask, status, took) for ask, status, took in answers if took > DEADLINE + MARGIN]
    assert not late, api.service.logs()

    for cable in cables:
        cable.silent_from_now = False
        cable.cut()

    async def takes_orders() -> bool:
        async with client.get(f"{api.service.url}/health/ready") as ready:
            if ready.status != 200:
                return False
        body = every_route(order, product)[0].body
        async with client.post(f"{api.service.url}/orders", json=body) as response:
            return response.status == 201

    await until(takes_orders, seconds=10, what="orders are taken again")


@pytest.mark.parametrize(("round_trip", "at_least"), [(0.03, 750), (0.2, 0)], ids=["slow", "hopeless"])
async def test_no_queue_grows_before_a_database_that_is_slow(
    api: Wired, client: aiohttp.ClientSession, round_trip: float, at_least: int
) -> None:
    """A batch is some eight round trips: a quarter of a second, and nearly as long as a request may take."""
    product = await asyncio.to_thread(api.service.add_product, stock=100_000)
    url = api.service.url
    await placed(client, url, product)
    took: list[tuple[int, float]] = []
    loop = asyncio.get_running_loop()

    async def ask() -> None:
        began = loop.time()
        body = {"user_id": 1, "items": [{"product_id": product, "quantity": 1}]}
        async with client.post(f"{url}/orders", json=body) as response:
            await response.read()
            if response.status == 503:
                assert response.headers["Retry-After"]
            took.append((response.status, loop.time() - began))

    api.cables["PostgreSQL"].delay = round_trip / 2
    async with asyncio.TaskGroup() as asking:
        for _ in range(100):
            for _ in range(15):
                asking.create_task(ask())
            await asyncio.sleep(0.05)
    assert {status for status, _ in took} <= {201, 202, 503}
    assert sum(status < 300 for status, _ in took) >= at_least
    # 1,500 requests came, at 300 a second.
    assert max(seconds for _, seconds in took) < 2 * DEADLINE + MARGIN

    api.cables["PostgreSQL"].delay = 0.0

    async def quick() -> bool:
        began = loop.time()
        body = {"user_id": 1, "items": [{"product_id": product, "quantity": 1}]}
        # For a moment, it may be refused as before.
        async with client.post(f"{url}/orders", json=body) as response:
            return response.status in {201, 202} and loop.time() - began < 0.2

    await until(quick, seconds=10, what="an order is placed as quickly as before")
    assert await api.service.findings() == []
