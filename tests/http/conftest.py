from collections.abc import AsyncIterator

import pytest
from quart import Quart

from entrypoints.health import ServerHealth
from entrypoints.http.app import create_app
from entrypoints.http.services import Services
from tests.http.browser import Browser
from tests.http.wiring import services_of
from tests.unit.shop import Shop


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A shop whose stock, money and histories are looked through when the test has ended."""
    shop = Shop()
    yield shop
    assert await shop.findings() == []


@pytest.fixture
def servers() -> list[ServerHealth]:
    """What a look at the servers finds."""
    return [ServerHealth("database", "SQLite 3.45", None)]


@pytest.fixture
def services(shop: Shop, servers: list[ServerHealth]) -> Services:
    return services_of(shop, servers)


@pytest.fixture
def app(services: Services) -> Quart:
    return create_app(services)


@pytest.fixture
def browser(app: Quart) -> Browser:
    return Browser(app)
