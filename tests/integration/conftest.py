import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from secrets import token_hex

import aiohttp
import pytest
from attrs import frozen

from adapters.rabbitmq.declaring import declare_topology
from adapters.rabbitmq.topology import Topology
from tests.brokers import own_topology, removed
from tests.cables import Cable, cable
from tests.servers.fleet import VARIABLES
from tests.servers.process import SLOWEST
from tests.service import Service


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Service]:
    """The whole service in one process, not started yet."""
    service = Service(folder=tmp_path)
    yield service
    service.kill()


@pytest.fixture(scope="session")
def migrated_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `holdfast migrate` has made. It is for copying."""
    service = Service(folder=tmp_path_factory.mktemp("migrated"))
    service.run("migrate")
    return service.data


@pytest.fixture
def migrated(embedded: Service, migrated_data: Path) -> Service:
    """The whole service in one process, migrated and not started yet."""
    shutil.copytree(migrated_data, embedded.data)
    return embedded


@pytest.fixture
async def on_servers(
    tmp_path: Path, new_migrated_database: Callable[[], str], redis_url: str, amqp_url: str
) -> AsyncIterator[Service]:
    """The service on PostgreSQL, Redis and RabbitMQ, migrated and not started yet."""
    namespace = f"test-{token_hex(6)}"
    service = Service(
        folder=tmp_path,
        settings={
            "DATABASE_URL": new_migrated_database(),
            "REDIS_URL": redis_url,
            "AMQP_URL": amqp_url,
            "HOLDFAST_NAMESPACE": namespace,
        },
    )
    topology = Topology(namespace)
    async with removed(amqp_url, topology):
        await declare_topology(amqp_url, topology)
        try:
            yield service
        finally:
            await asyncio.to_thread(service.kill)


@pytest.fixture(params=["embedded", "on_servers"])
def stopped(request: pytest.FixtureRequest) -> Service:
    """The service in one process, and on servers, not started yet. Killed by the fixture that it comes from."""
    service: Service = request.getfixturevalue(request.param)
    return service


@frozen
class Wired:
    """The service on servers, behind cables that a test can interrupt."""

    service: Service
    cables: dict[str, Cable]


@pytest.fixture
async def wired(on_servers: Service) -> AsyncIterator[Wired]:
    """As `on_servers`."""
    async with AsyncExitStack() as stack:
        cables: dict[str, Cable] = {}
        for name, variable in VARIABLES.items():
            cables[name] = await stack.enter_async_context(cable(on_servers.settings[variable]))
            on_servers.settings[variable] = cables[name].url
        yield Wired(on_servers, cables)
        await asyncio.to_thread(on_servers.kill)


@pytest.fixture
async def topology(amqp_url: str) -> AsyncIterator[Topology]:
    """A namespace of the test's own, declared."""
    async with own_topology(amqp_url) as topology:
        yield topology


@pytest.fixture
async def wire(amqp_url: str) -> AsyncIterator[Cable]:
    """The way to RabbitMQ, which a test can interrupt."""
    async with cable(amqp_url) as wire:
        yield wire


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=200)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(20 * SLOWEST)) as client:
        yield client
