"""Connections to PostgreSQL that stay open, and on which nothing comes any more."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from attrs import evolve
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.engine import backend_of
from adapters.sql.dialects.postgresql.hosts import Hosts
from adapters.sql.dialects.postgresql.stale_connections import StaleConnectionDetector
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.errors import Aborted, OutcomeUnknown
from tests.cables import Cable, cable
from tests.contract.conftest import keep
from tests.contract.test_unit_of_work_faults import PEN, borrowed, stock, take
from tests.service import until
from tests.unit.builders import a_product

# Less than a statement may take in these tests.
SOON = 120.0


@pytest.fixture
async def direct(postgres_engine: AsyncEngine) -> SqlUnitOfWork:
    unit_of_work = SqlUnitOfWork(postgres_engine)
    await keep(unit_of_work, products=[a_product(stock=100)])
    return unit_of_work


@pytest.fixture
async def wire(migrated_postgres: str, direct: SqlUnitOfWork) -> AsyncIterator[Cable]:
    async with cable(migrated_postgres) as wire:
        yield wire


@pytest.fixture
def engine(wire: Cable, open_engines: Callable[[str], AsyncEngine]) -> AsyncEngine:
    return open_engines(wire.url)


async def test_a_silent_connection_costs_a_moment_and_no_request(wire: Cable, engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(engine)
    await asyncio.gather(*(take(unit_of_work) for _ in range(6)), *(stock(unit_of_work) for _ in range(4)))
    wire.silence()
    began = time.monotonic()
    async with asyncio.timeout(SOON):
        await asyncio.gather(take(unit_of_work), stock(unit_of_work))
    # All others that were open then are silent as well, and nobody has to find that out once more.
    async with asyncio.timeout(time.monotonic() - began):
        await asyncio.gather(*(take(unit_of_work) for _ in range(3)), *(stock(unit_of_work) for _ in range(3)))
    assert await stock(unit_of_work) == 90
    assert borrowed(engine) == 0
    # Those that were not needed again would be seen off for a long time.
    wire.cut()


async def test_what_a_silent_connection_had_locked_is_free_for_others(
    wire: Cable, engine: AsyncEngine, postgres_engine: AsyncEngine, direct: SqlUnitOfWork
) -> None:
    async def take_silenced() -> None:
        async with SqlUnitOfWork(engine)() as tx:
            [pen] = (await tx.products.get_many([PEN], lock=True)).values()
            wire.silence_answers()
            await tx.products.save_many([pen])

    # The driver asks the server for much when it first connects, and must be done with it before anything falls silent.
    await stock(SqlUnitOfWork(engine))
    async with asyncio.timeout(SOON):
        taking = asyncio.create_task(take_silenced())

        async def is_parsed() -> bool:
            # On a slow machine, it may have been found silent by then.
            return taking.done() or await asks_for_parameters(postgres_engine)

        # It says so in vain, and waits for the parameters.
        await until(is_parsed, seconds=SOON, what="the server has parsed it")
        wire.silence()
        with pytest.raises(Aborted, match="was lost, and nothing done"):
            await taking
    async with asyncio.timeout(SOON):
        await take(direct)


async def asks_for_parameters(engine: AsyncEngine) -> bool:
    asking = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND state = 'active' AND wait_event = 'ClientRead'"
    )
    async with engine.connect() as connection:
        return bool((await connection.execute(asking)).scalar_one())


async def test_a_commit_that_stays_unanswered_leaves_the_outcome_unknown(
    wire: Cable, engine: AsyncEngine, direct: SqlUnitOfWork
) -> None:
    async def take_silenced() -> None:
        async with SqlUnitOfWork(engine)() as tx:
            [pen] = (await tx.products.get_many([PEN], lock=True)).values()
            pen.take(1)
            await tx.products.save_many([pen])
            wire.silence_answers()

    with pytest.raises(OutcomeUnknown):
        async with asyncio.timeout(SOON):
            await take_silenced()
    assert await stock(direct) == 99


async def test_a_statement_that_waits_for_a_lock_is_let_alone(engine: AsyncEngine, direct: SqlUnitOfWork) -> None:
    async def take_later() -> None:
        async with SqlUnitOfWork(engine)() as tx:
            # From here on it would be told of a lost connection.
            await tx.products.get_many([PEN])
            [pen] = (await tx.products.get_many([PEN], lock=True)).values()
            pen.take(1)
            await tx.products.save_many([pen])

    async with direct() as tx:
        await tx.products.get_many([PEN], lock=True)
        waiting = asyncio.create_task(take_later())
        # Long enough that it is asked after.
        done, _ = await asyncio.wait({waiting}, timeout=4)
        assert not done
    async with asyncio.timeout(SOON):
        await waiting
    assert await stock(direct) == 99


async def test_where_nobody_can_be_asked_the_statement_has_its_own_time(
    wire: Cable, migrated_postgres: str, open_engines: Callable[[str], AsyncEngine]
) -> None:
    unit_of_work = SqlUnitOfWork(open_engines(wire.url))
    await stock(unit_of_work)
    wire.silence()
    wire.silent_from_now = True
    waiting = asyncio.create_task(stock(unit_of_work))
    done, _ = await asyncio.wait({waiting}, timeout=4)
    assert not done
    wire.restore()
    async with asyncio.timeout(SOON):
        assert await waiting == 100


async def test_a_process_that_is_gone_is_not_waited_for(
    wire: Cable, engine: AsyncEngine, postgres_engine: AsyncEngine, direct: SqlUnitOfWork
) -> None:
    unit_of_work = SqlUnitOfWork(engine)
    assert await stock(unit_of_work) == 100
    pid = await process_number(engine)
    wire.silence()
    async with postgres_engine.connect() as connection:
        assert (await connection.execute(text(f"SELECT pg_terminate_backend({pid}, 60000)"))).scalar_one()
    # The statement is sent, and nobody will ever answer it.
    async with asyncio.timeout(SOON):
        assert await stock(unit_of_work) == 100
    wire.cut()


async def test_no_process_of_another_server_is_ended(
    wire: Cable, engine: AsyncEngine, postgres_engine: AsyncEngine, direct: SqlUnitOfWork
) -> None:
    unit_of_work = SqlUnitOfWork(engine)
    await stock(unit_of_work)
    async with postgres_engine.connect() as bystander, engine.connect() as connection:
        its_number = (await bystander.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        driver = (await connection.get_raw_connection()).driver_connection
        hosts = hosts_of(engine)
        # As if the silent connection led to a server that was started at another time, where a process had this number.
        process = hosts_of(postgres_engine).process_of((await bystander.get_raw_connection()).driver_connection)
        assert process.pid == its_number
        hosts._processes[driver] = evolve(process, server=process.server - timedelta(days=1))  # noqa: SLF001 - see above
        await connection.rollback()
        await connection.close()
        wire.silence()
        async with asyncio.timeout(SOON):
            assert await stock(unit_of_work) == 100
        assert (await bystander.execute(text("SELECT pg_backend_pid()"))).scalar_one() == its_number
    wire.cut()


async def test_behind_a_pooler_no_process_is_ended(
    wire: Cable, migrated_postgres: str, open_engines: Callable[[str], AsyncEngine], direct: SqlUnitOfWork
) -> None:
    engine = open_engines(wire.url)
    unit_of_work = SqlUnitOfWork(engine)
    await stock(unit_of_work)
    async with engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        hosts = hosts_of(engine)
        hosts._processes[driver] = evolve(hosts.process_of(driver), is_pooled=True)  # noqa: SLF001 - there is no pooler
    wire.silence()
    waiting = asyncio.create_task(stock(unit_of_work))
    done, _ = await asyncio.wait({waiting}, timeout=4)
    assert not done
    wire.restore()
    async with asyncio.timeout(SOON):
        assert await waiting == 100


def hosts_of(engine: AsyncEngine) -> Hosts:
    watch = backend_of(engine).watch
    assert isinstance(watch, StaleConnectionDetector)
    hosts = watch._process_of.__self__  # type: ignore[attr-defined]  # noqa: SLF001 - a bound method
    assert isinstance(hosts, Hosts)
    return hosts


async def process_number(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())
