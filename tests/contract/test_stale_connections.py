"""Connections to PostgreSQL that stay open, and on which nothing comes any more."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

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

    async with asyncio.timeout(SOON):
        taking = asyncio.create_task(take_silenced())
        # It says so in vain, and waits for the parameters.
        await until(partial(asks_for_parameters, postgres_engine), seconds=SOON, what="the server has parsed it")
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
