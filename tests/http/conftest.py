from collections.abc import AsyncIterator

import pytest
from quart import Quart

from application.assembly import UseCases
from entrypoints.health import ServerHealth
from tests.http.browser import Browser, app_over
from tests.unit.shop import Shop


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A shop whose data is checked for consistency after the test."""
    shop = Shop()
    yield shop
    assert await shop.findings() == []


@pytest.fixture
def servers() -> list[ServerHealth]:
    """The result of the health check."""
    return [ServerHealth("database", "SQLite 3.45", None)]


@pytest.fixture
def use_cases(shop: Shop) -> UseCases:
    return shop.use_cases


@pytest.fixture
def app(use_cases: UseCases, servers: list[ServerHealth]) -> Quart:
    return app_over(use_cases, servers)


@pytest.fixture
def browser(app: Quart) -> Browser:
    return Browser(app)
