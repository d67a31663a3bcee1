from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from adapters.sql.core.engine import create_engine
from adapters.sql.migrate import migrate
from entrypoints.doctor import examine
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


@pytest.mark.parametrize("gone", [(), ("database",), ("broker", "cache"), ("database", "broker", "cache")])
async def test_each_server_that_does_not_work_is_told(working: dict[str, str], gone: tuple[str, ...]) -> None:
    urls: dict[str, Any] = {**working, **dict(GONE[server] for server in gone)}
    settings = Settings(**urls)
    engine = create_engine(settings.database_url)
    try:
        if "database" not in gone:
            await migrate(engine)
        servers = await examine(settings, engine)
    finally:
        await engine.dispose()
    assert {server.name for server in servers if not server.works} == set(gone)


async def test_a_database_that_only_reads_does_not_work(working: dict[str, str]) -> None:
    settings = Settings(database_url=working["database_url"])
    engine = create_engine(settings.database_url)
    try:
        await migrate(engine)
        async with engine.begin() as connection:
            name = (await connection.execute(text("SELECT current_database()"))).scalar_one()
            await connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
        await engine.dispose()
        database, *_ = await examine(settings, engine)
    finally:
        await engine.dispose()
    assert "read-only" in str(database.problem)
