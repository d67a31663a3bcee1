import asyncio
import inspect
from collections.abc import Callable, Iterator
from secrets import token_hex

import pytest

from adapters.rabbitmq.topology import Topology
from tests.brokers import remove
from tests.features.drivers.http import HttpShop
from tests.features.drivers.memory import MemoryShop
from tests.features.drivers.servers import reached_by_cable
from tests.features.drivers.service import Service
from tests.features.drivers.shop import Shop
from tests.features.story import Story


def pytest_bdd_before_step_call(step_func: Callable[..., object]) -> None:
    """Fail a step that is a coroutine: it would never be awaited, and so pass without running."""
    if inspect.iscoroutinefunction(step_func) or inspect.isasyncgenfunction(step_func):
        pytest.fail(f"the step {step_func.__name__} is a coroutine and would never run; make it a plain function")


@pytest.fixture
def memory() -> Iterator[MemoryShop]:
    shop = MemoryShop()
    yield shop
    shop.close()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One for all scenarios: each has products and customers of its own."""
    service = Service(tmp_path_factory.mktemp("service"))
    yield service
    service.stop()


@pytest.fixture
def http(service: Service) -> Iterator[HttpShop]:
    shop = HttpShop(service)
    yield shop
    shop.close()


@pytest.fixture(scope="session")
def service_on_servers(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str], redis_url: str, amqp_url: str
) -> Iterator[Service]:
    """As `service`, with servers that a scenario can disconnect."""
    namespace = f"test-{token_hex(6)}"
    servers = reached_by_cable(database=new_database(), broker=amqp_url, redis=redis_url, namespace=namespace)
    try:
        with servers as settings:
            service = Service(tmp_path_factory.mktemp("service"), settings)
            yield service
            service.stop()
    finally:
        asyncio.run(remove(amqp_url, Topology(namespace)))


@pytest.fixture
def http_on_servers(service_on_servers: Service) -> Iterator[HttpShop]:
    shop = HttpShop(service_on_servers)
    yield shop
    shop.close()


@pytest.fixture(autouse=True, params=["memory", "http"])
def shop(request: pytest.FixtureRequest) -> Shop:
    """The same features, run on the use cases in memory and on the running service."""
    name = request.param
    if name == "http" and request.node.get_closest_marker("servers"):
        name = "http_on_servers"
    driver: Shop = request.getfixturevalue(name)
    return driver


@pytest.fixture
def story(shop: Shop) -> Story:
    return Story(shop)
