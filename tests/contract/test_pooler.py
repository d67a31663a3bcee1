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


async def ask(engine: AsyncEngine, *statements: str) -> None:
    async with connected(engine) as connection:
        for statement in statements:
            await connection.execute(text(statement))


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


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_a_pooler_of_transactions_is_named_by_what_it_does(
    pgbouncer_program: Path, migrated_postgres: str, open_engines: Callable[[str], AsyncEngine], mode: str
) -> None:
    """Since version 1.21 it may keep prepared statements apart, and no statement fails that would name it."""
    found = r"pool_mode = session.*two connections were found in one session"
    with (
        PgBouncer(migrated_postgres, settings={"pool_mode": mode}) as server,
        pytest.raises(Misconfigured, match=found),
    ):
        await ask(open_engines(server.url), "SELECT 1")


async def test_a_pooler_that_gives_each_transaction_the_next_session_is_named(
    pgbouncer_program: Path, migrated_postgres: str, open_engines: Callable[[str], AsyncEngine]
) -> None:
    given = {"pool_mode": "transaction", "server_round_robin": "1"}
    with PgBouncer(migrated_postgres, settings=given) as server:
        others = [await asyncpg.connect(server.url, timeout=SOON, statement_cache_size=0) for _ in range(3)]
        # So there are three sessions that are free.
        await asyncio.gather(*(each.execute("SELECT pg_sleep(0.2)") for each in others))
        with pytest.raises(Misconfigured, match="pool_mode = session"):
            await ask(open_engines(server.url), "SELECT 1")
        for each in others:
            await each.close()


@pytest.mark.parametrize("limit", ["default_pool_size", "max_client_conn", "max_user_connections"])
async def test_a_pooler_of_sessions_that_has_no_other_left_is_taken_for_what_it_is(
    pgbouncer_program: Path, migrated_postgres: str, open_engines: Callable[[str], AsyncEngine], limit: str
) -> None:
    with PgBouncer(migrated_postgres, settings={limit: "1"}) as server:
        await ask(open_engines(server.url), "SELECT 1")


async def test_a_session_whose_statements_somebody_took_away_is_named_as_one_that_others_use(
    postgres_engine: AsyncEngine,
) -> None:
    with pytest.raises(Misconfigured, match="pool_mode = session"):
        await ask(postgres_engine, "SELECT 1", "DEALLOCATE ALL", "SELECT 1")
