from collections.abc import AsyncIterator

import pytest
from quart import Quart

from application.assembly.use_cases import UseCases
from entrypoints.readiness import Readiness
from tests.http.browser import READY, Browser, app_over
from tests.http.routing import compile_each_rule_once
from tests.unit.shop import Shop


@pytest.fixture(autouse=True, scope="session")
def routes() -> None:
    compile_each_rule_once()


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A shop whose data is checked for consistency after the test."""
    shop = Shop()
    yield shop
    assert await shop.findings() == []


@pytest.fixture
def readiness() -> list[Readiness]:
    """The last one is the result of the next check."""
    return [READY]


@pytest.fixture
def use_cases(shop: Shop) -> UseCases:
    return shop.use_cases


@pytest.fixture
def app(use_cases: UseCases, readiness: list[Readiness]) -> Quart:
    return app_over(use_cases, readiness)


@pytest.fixture
def browser(app: Quart) -> Browser:
    return Browser(app)
