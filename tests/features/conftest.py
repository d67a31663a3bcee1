import inspect
from collections.abc import Callable, Iterator

import pytest

from tests.features.drivers.http import HttpShop
from tests.features.drivers.memory import MemoryShop
from tests.features.drivers.service import Service
from tests.features.drivers.shop import Shop
from tests.features.story import Story


def pytest_bdd_before_step_call(step_func: Callable[..., object]) -> None:
    """Fail what would pass without running: nobody awaits a step."""
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


@pytest.fixture(autouse=True, params=["memory", "http"])
def shop(request: pytest.FixtureRequest) -> Shop:
    """The same features, told of the use cases in memory and of the running service."""
    driver: Shop = request.getfixturevalue(request.param)
    return driver


@pytest.fixture
def story(shop: Shop) -> Story:
    return Story(shop)
