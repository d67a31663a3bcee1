"""PostgreSQL behind PgBouncer, which keeps sessions apart and knows few settings."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.connecting import connected
from adapters.sql.dialects.base import Timeouts
from adapters.sql.dialects.postgresql.connections import PostgresConnections
from adapters.sql.dialects.postgresql.hosts import Hosts
from adapters.sql.dialects.registry import parsed_url
from adapters.sql.signal import open_outbox_signal
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.errors import Misconfigured
from tests.contract.conftest import keep
from tests.contract.test_unit_of_work_faults import PEN, stock, take
from tests.servers import PgBouncer
from tests.service import Service
from tests.unit.builders import a_product

SOON = 120.0
# All that a session is given.
SETTINGS: list[str] = sorted(
    PostgresConnections().address(make_url("postgresql://shop@db/shop"), Timeouts(statement=1.0, lock=1.0))[1][
        "server_settings"
    ]
)
REFUSAL = "unsupported startup parameter"
# What its users are told everywhere to do about the refusal.
IGNORING = {"ignore_startup_parameters": ",".join(name for name in SETTINGS if name != "application_name")}


@pytest.fixture(params=[{}, IGNORING], ids=["settings are refused", "settings are ignored"])
def pooler(
    request: pytest.FixtureRequest, pgbouncer_program: Path, migrated_postgres: str, postgres_engine: AsyncEngine
) -> Iterator[PgBouncer]:
    with PgBouncer(migrated_postgres, settings=request.param) as server:
        yield server


async def settings_of(engine: AsyncEngine) -> dict[str, str]:
    async with engine.connect() as connection:
        return {name: (await connection.execute(text(f"SHOW {name}"))).scalar_one() for name in SETTINGS}


async def test_a_session_has_the_settings_that_it_has_without_a_pooler(
    pooler: PgBouncer, migrated_postgres: str, open_engines: Callable[[str], AsyncEngine]
) -> None:
    through, straight = open_engines(pooler.url), open_engines(migrated_postgres)
    wanted = await settings_of(straight)
    assert await settings_of(through) == wanted
    assert (REFUSAL in pooler.log.read_text()) is ("ignore_startup_parameters" not in pooler.given)
    # The next client gets the same session of the server, as it was in the beginning, and so does the one after it.
    await through.dispose()
    assert await settings_of(through) == wanted


async def test_sessions_that_begin_at_once_have_them_all(
    pooler: PgBouncer, open_engines: Callable[[str], AsyncEngine]
) -> None:
    engine = open_engines(pooler.url)
    found = await asyncio.gather(*(settings_of(engine) for _ in range(5)))
    assert found == [found[0]] * 5


async def test_orders_are_written_and_the_relay_is_woken(
    pooler: PgBouncer, open_engines: Callable[[str], AsyncEngine]
) -> None:
    engine = open_engines(pooler.url)
    unit_of_work = SqlUnitOfWork(engine)
    await keep(unit_of_work, products=[a_product(PEN, stock=100)])
    await take(unit_of_work)
    assert await stock(unit_of_work) == 99
    async with open_outbox_signal(engine) as listening, open_outbox_signal(engine) as telling:
        async with asyncio.timeout(SOON):
            # It hears itself when it begins to listen, and then the other one.
            await listening.wait(SOON)
            telling.notify()
            await listening.wait(SOON)


async def test_it_is_known_that_a_pooler_is_in_between(pooler: PgBouncer) -> None:
    url, _ = parsed_url(pooler.url)
    hosts = Hosts.of(url)
    connection = await hosts(user=url.username, database=url.database, timeout=SOON)
    try:
        assert hosts.process_of(connection).is_pooled
    finally:
        await connection.close()


def test_a_pooler_of_transactions_is_named_with_what_to_do(
    pgbouncer_program: Path, migrated_postgres: str, tmp_path: Path
) -> None:
    with PgBouncer(migrated_postgres, settings={"pool_mode": "transaction"}) as server:
        service = Service(folder=tmp_path, settings={"DATABASE_URL": server.url})
        service.try_to_run("doctor")
        # It gets the session of the first one, with the statements that are prepared there.
        status, output = service.try_to_run("doctor")
    assert (status, "pool_mode = session" in output, "Traceback" in output) == (1, True, False), output


async def test_a_session_that_others_use_is_named_as_one(
    pgbouncer_program: Path, migrated_postgres: str, open_engines: Callable[[str], AsyncEngine]
) -> None:
    with PgBouncer(migrated_postgres, settings={"pool_mode": "transaction"}) as server:
        engine = open_engines(server.url)
        async with connected(engine) as connection:
            await connection.execute(text("SELECT 1"))
        other = await asyncpg.connect(server.url, timeout=SOON)
        await other.execute("DEALLOCATE ALL")
        with pytest.raises(Misconfigured, match="pool_mode = session"):
            async with connected(engine) as connection:
                await connection.execute(text("SELECT 1"))
        await other.close()
