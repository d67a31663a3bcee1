from collections.abc import AsyncIterator

import pytest
from hypothesis import settings

from tests.unit.shop import Shop

settings.register_profile("unit", max_examples=50, deadline=None, database=None)
settings.load_profile("unit")


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A shop whose data is checked for consistency after the test."""
    shop = Shop()
    yield shop
    assert await shop.findings() == []
