"""Each of the three servers is gone for a while, under load: orders are accepted, found, and recorded."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any, Final
from uuid import UUID

import aiohttp
import pytest
from attrs import define, field, frozen

from adapters.rabbitmq.topology import Topology
from adapters.sql.core.engine import create_engine
from adapters.sql.unit_of_work import SqlUnitOfWork
from domain.ids import OrderId
from domain.orders.status import OrderStatus
from tests.brokers import removed
from tests.servers.server import Server
from tests.service import Service, until

# In seconds: longer than every timeout and every pause between two attempts; and once longer than the delays after
# which a message is tried again, all of them together.
OUTAGE: Final = 12.0
LONG_OUTAGE: Final = 30.0
RECOVERY: Final = 30.0
# Between two orders of a client.
_PAUSE: Final = 0.2
_CLIENTS: Final = 4
_OWN: Final = {"PostgreSQL": "own_postgres", "Redis": "own_redis", "RabbitMQ": "own_rabbitmq"}


@define(eq=False)
class Customers:
    """Customers who order, read their orders and pay, and the responses to them."""

    url: str
    done: asyncio.Event = field(factory=asyncio.Event)
    told: Counter[int] = field(factory=Counter)
    versions: dict[str, int] = field(factory=dict)
    wrong: list[str] = field(factory=list)
    unreadable: list[str] = field(factory=list)
    """The ordered ones that were answered with "not recorded yet"."""

    async def buy(self, client: aiohttp.ClientSession) -> None:
        mine: list[str] = []
        while not self.done.is_set():
            body = {"user_id": 1, "items": [{"product_id": 1, "quantity": 1}]}
            status, answer = await self._ask(client, "POST", "/orders", body)
            self.told[status] += 1
            if status not in {201, 202}:
                self.wrong.append(f"an order was answered with {status}: {answer}")
                continue
            mine.append(answer["order_id"])
            self._see(answer)
            for order_id in {mine[-1], mine[len(mine) // 2], mine[0]}:
                await self.read(client, order_id)
            # One of four is paid for at once, if that can be: it may have to wait for the database.
            if len(mine) % 4 == 0:
                status, answer = await self._ask(client, "POST", f"/orders/{mine[-1]}/pay")
                if status in {200, 202}:
                    self._see(answer)
                elif status != 503:
                    self.wrong.append(f"a payment was answered with {status}: {answer}")
            await asyncio.sleep(_PAUSE)

    async def read(self, client: aiohttp.ClientSession, order_id: str) -> None:
        status, answer = await self._ask(client, "GET", f"/orders/{order_id}")
        if status == 200:
            self._see(answer)
        elif status == 503:
            self.unreadable.append(f"an order could not be read: {answer}")
        else:
            self.wrong.append(f"an order was not found: {status}, {answer}")

    def _see(self, order: Any) -> None:
        before = self.versions.get(order["order_id"], 0)
        if order["version"] < before:
            self.wrong.append(f"an order was at version {before}, and then at {order['version']}")
        self.versions[order["order_id"]] = max(before, order["version"])

    async def _ask(self, client: aiohttp.ClientSession, method: str, path: str, body: object = None) -> tuple[int, Any]:
        try:
            async with client.request(method, self.url + path, json=body) as response:
                return response.status, await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, repr(error)


@frozen
class Outage:
    server: Server
    manner: str
    seconds: float


@pytest.fixture(params=["PostgreSQL killed", "PostgreSQL silent", "Redis killed", "RabbitMQ killed"])
def outage(request: pytest.FixtureRequest) -> Outage:
    name, manner = request.param.split()
    seconds = LONG_OUTAGE if request.param == "PostgreSQL killed" else OUTAGE
    return Outage(request.getfixturevalue(_OWN[name]), manner, seconds)


@pytest.fixture
async def service(
    outage: Outage, tmp_path: Path, new_database: Callable[[], str], redis_url: str, amqp_url: str
) -> AsyncIterator[Service]:
    """The server that is to be gone is the service's own; the others are shared."""
    urls = {"DATABASE_URL": new_database(), "REDIS_URL": redis_url, "AMQP_URL": amqp_url}
    own = {"PostgreSQL": "DATABASE_URL", "Redis": "REDIS_URL", "RabbitMQ": "AMQP_URL"}[outage.server.name]
    namespace = f"test-{token_hex(6)}"
    settings = {**urls, own: outage.server.url, "HOLDFAST_NAMESPACE": namespace, "HOLDFAST_STUCK_AFTER": "5s"}
    # A busy machine must not take Redis away in the outage of another server.
    settings["HOLDFAST_REDIS_TIMEOUT"] = "5s"
    service = Service(folder=tmp_path, settings=settings)
    async with removed(amqp_url, Topology(namespace)):
        try:
            await asyncio.to_thread(service.run, "migrate")
            # Before the start: an API knows the price of a new product only after some seconds.
            await asyncio.to_thread(service.add_product, stock=1_000_000)
            await asyncio.to_thread(service.start_all, ["api", "worker", "relay"])
            yield service
        finally:
            await asyncio.to_thread(service.kill)


async def test_any_one_server_may_be_gone_for_a_while(
    outage: Outage, service: Service, client: aiohttp.ClientSession
) -> None:
    customers, taken = await live_through(outage, service, client)
    assert customers.wrong == []
    assert customers.unreadable == []
    assert taken > _CLIENTS
    assert customers.told[202] > 0 or outage.server.name != "PostgreSQL", "no order was queued"
    recorded = partial(settled, service, customers)
    await until(recorded, seconds=RECOVERY, what="every order is in the database, and is processed")
    assert await service.findings() == []


async def live_through(outage: Outage, service: Service, client: aiohttp.ClientSession) -> tuple[Customers, int]:
    """What customers saw before, in and after an outage, and how many orders were taken in it."""
    customers = Customers(service.url)
    buying = [asyncio.create_task(customers.buy(client)) for _ in range(_CLIENTS)]
    await until(lambda: busy(customers), seconds=30, what="orders are taken")

    server, is_silent = outage.server, outage.manner == "silent"
    await asyncio.to_thread(server.pause if is_silent else server.kill)
    before = len(customers.versions)
    await asyncio.sleep(outage.seconds)
    taken = len(customers.versions) - before
    await asyncio.to_thread(server.resume if is_silent else server.start)
    await asyncio.sleep(3)
    customers.done.set()
    await asyncio.gather(*buying)
    for order_id in customers.versions:
        await customers.read(client, order_id)
    return customers, taken


async def busy(customers: Customers) -> bool:
    return len(customers.versions) > 25


async def settled(service: Service, customers: Customers) -> bool:
    """Every order of a response is recorded, and none waits for the worker."""
    engine = create_engine(service.database)
    try:
        async with SqlUnitOfWork(engine).reading() as tx:
            orders = await tx.orders.get_many({OrderId(UUID(id_)) for id_ in customers.versions})
    finally:
        await engine.dispose()
    return len(orders) == len(customers.versions) and not any(
        order.status is OrderStatus.PROCESSING for order in orders.values()
    )
