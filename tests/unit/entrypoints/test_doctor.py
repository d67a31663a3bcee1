from collections.abc import Callable
from typing import Any

import pytest

from adapters.sql.core.engine import create_engine
from adapters.sql.migrate import migrate
from entrypoints.doctor import examine
from entrypoints.http.bodies import ReadyBody
from entrypoints.settings import Settings

# A port on which nothing listens.
GONE = {
    "database": ("database_url", "postgresql://postgres@127.0.0.1:1/shop"),
    "cache": ("redis_url", "redis://127.0.0.1:1/0"),
    "broker": ("amqp_url", "amqp://guest:guest@127.0.0.1:1/"),
}


@pytest.fixture
def working(new_database: Callable[[], str], redis_url: str, amqp_url: str) -> dict[str, str]:
    return {"database_url": new_database(), "redis_url": redis_url, "amqp_url": amqp_url}


@pytest.mark.parametrize(
    ("intake", "gone", "status"),
    [
        ("direct", (), "ok"),
        ("auto", (), "ok"),
        ("direct", ("database",), "unavailable"),
        ("direct", ("broker", "cache"), "degraded"),
        ("auto", ("database",), "degraded"),
        ("auto", ("broker",), "degraded"),
        ("queued", ("database", "cache"), "degraded"),
        ("auto", ("database", "broker"), "unavailable"),
        ("queued", ("database", "broker"), "unavailable"),
    ],
)
async def test_it_is_ready_while_an_order_can_be_made_durable(
    working: dict[str, str], intake: str, gone: tuple[str, ...], status: str
) -> None:
    urls: dict[str, Any] = {**working, **dict(GONE[server] for server in gone)}
    settings = Settings(**urls, intake=intake)
    engine = create_engine(settings.database_url)
    try:
        if "database" not in gone:
            await migrate(engine)
        servers = await examine(settings, engine)
    finally:
        await engine.dispose()
    assert {server.name for server in servers if not server.works} == set(gone)
    assert ReadyBody.of(servers).status == status
