"""Cancellation, and servers that are stopped, killed or silent."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import QueuePool, text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.engine import create_engine
from adapters.sql.health import server_version
from adapters.sql.migrate import migrate
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.errors import Aborted, OutcomeUnknown, Unavailable
from application.execution.after_commit import Committed
from application.ports.persistence import UnitOfWork
from domain.ids import ProductId
from tests.contract.conftest import keep
from tests.engines import engine_on
from tests.servers import PostgresServer
from tests.unit.builders import a_product

PEN = ProductId(1)


def borrowed(engine: AsyncEngine) -> int:
    pool = engine.sync_engine.pool
    assert isinstance(pool, QueuePool)
    return pool.checkedout()


async def take(unit_of_work: UnitOfWork) -> None:
    async with unit_of_work() as tx:
        [pen] = (await tx.products.get_many([PEN], lock=True)).values()
        pen.take(1)
        await tx.products.save_many([pen])


async def stock(unit_of_work: UnitOfWork) -> int:
    async with unit_of_work.reading() as tx:
        return (await tx.products.get_many([PEN]))[PEN].stock


async def terminate_others(engine: AsyncEngine) -> None:
    """As an administrator does: every other session on the database of this engine."""
    async with engine.connect() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        )


def terminate_unheard(url: str) -> None:
    """As above, while this event loop stands still: it can't have heard of the end when it sends the next statement."""

    async def terminate() -> None:
        async with engine_on(url) as other:
            await terminate_others(other)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, terminate()).result(timeout=60)


async def test_a_block_cancelled_at_any_moment_leaks_no_connection_and_half_does_nothing(
    sql_engine: AsyncEngine,
) -> None:
    told = 0

    async def count(_: Committed) -> None:
        nonlocal told
        await asyncio.sleep(0)
        told += 1

    unit_of_work = SqlUnitOfWork(sql_engine, count)
    await keep(SqlUnitOfWork(sql_engine), products=[a_product(stock=1000)])
    turns, done = 0, False
    async with asyncio.timeout(60):
        while not done:
            turns += 1 if turns < 50 else turns // 8
            task = asyncio.create_task(take(unit_of_work))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            # A second time, while it is already giving back what it had borrowed.
            await asyncio.sleep(0)
            task.cancel()
            [outcome] = await asyncio.gather(task, return_exceptions=True)
            assert outcome is None or isinstance(outcome, asyncio.CancelledError)
            done = outcome is None
            assert borrowed(sql_engine) == 0
            # Whoever comes next finds nothing locked, though the traceback of the cancelled one is still at hand.
            async with asyncio.timeout(60):
                await take(unit_of_work)
    # Each commit was told of, cancelled or not, and nothing but commits.
    assert await stock(SqlUnitOfWork(sql_engine)) == 1000 - told


async def test_a_cancelled_reader_leaks_no_connection(sql_engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    await keep(unit_of_work, products=[a_product()])
    turns, done = 0, False
    async with asyncio.timeout(60):
        while not done:
            turns += 1 + turns // 8
            task = asyncio.create_task(stock(unit_of_work))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            [outcome] = await asyncio.gather(task, return_exceptions=True)
            done = isinstance(outcome, int)
            assert borrowed(sql_engine) == 0


async def test_the_server_sees_no_session_left_in_a_transaction(
    migrated_postgres: str, postgres_engine: AsyncEngine, open_engines: Callable[[str], AsyncEngine]
) -> None:
    await keep(SqlUnitOfWork(postgres_engine), products=[a_product()])
    engine = open_engines(migrated_postgres)
    for turns in range(1, 60, 3):
        task = asyncio.create_task(take(SqlUnitOfWork(engine)))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    open_transactions = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE '%in transaction%'"
    )
    async with asyncio.timeout(60), postgres_engine.connect() as connection:
        # What was cancelled on the server ends by itself, in a moment.
        while (await connection.execute(open_transactions)).scalar_one():
            await connection.rollback()
            await asyncio.sleep(0.02)


async def test_sessions_that_were_terminated_while_idle_cost_no_request(
    migrated_postgres: str, postgres_engine: AsyncEngine, open_engines: Callable[[str], AsyncEngine]
) -> None:
    engine = open_engines(migrated_postgres)
    unit_of_work = SqlUnitOfWork(engine)
    await keep(unit_of_work, products=[a_product(stock=9)])
    await asyncio.gather(*(stock(unit_of_work) for _ in range(4)))
    await terminate_others(postgres_engine)
    await asyncio.gather(take(unit_of_work), take(unit_of_work), stock(unit_of_work), take(unit_of_work))
    assert await stock(unit_of_work) == 6


async def test_health_is_good_again_at_once(
    migrated_postgres: str, postgres_engine: AsyncEngine, open_engines: Callable[[str], AsyncEngine]
) -> None:
    engine = open_engines(migrated_postgres)
    await server_version(engine)
    await terminate_others(postgres_engine)
    assert (await server_version(engine)).startswith("PostgreSQL ")


async def test_a_connection_that_dies_at_its_first_statement_costs_no_request(
    migrated_postgres: str, postgres_engine: AsyncEngine, open_engines: Callable[[str], AsyncEngine]
) -> None:
    engine = open_engines(migrated_postgres)
    unit_of_work = SqlUnitOfWork(engine)
    await keep(unit_of_work, products=[a_product(stock=9)])
    terminate_unheard(migrated_postgres)
    await take(unit_of_work)
    assert await stock(unit_of_work) == 8


async def test_a_session_terminated_in_a_transaction_is_nothing_done_and_may_be_tried_again(
    migrated_postgres: str, postgres_engine: AsyncEngine, open_engines: Callable[[str], AsyncEngine]
) -> None:
    engine = open_engines(migrated_postgres)
    unit_of_work = SqlUnitOfWork(engine)
    await keep(unit_of_work, products=[a_product(stock=9)])

    async def take_meanwhile_terminated() -> None:
        async with unit_of_work() as tx:
            [pen] = (await tx.products.get_many([PEN], lock=True)).values()
            await terminate_others(postgres_engine)
            pen.take(1)
            await tx.products.save_many([pen])

    with pytest.raises(Aborted, match="was lost, and nothing done"):
        await take_meanwhile_terminated()
    assert borrowed(engine) == 0
    await take(unit_of_work)
    assert await stock(unit_of_work) == 8


async def test_a_connection_lost_before_a_commit_was_sent_is_nothing_done(
    migrated_postgres: str, postgres_engine: AsyncEngine, open_engines: Callable[[str], AsyncEngine]
) -> None:
    engine = open_engines(migrated_postgres)
    unit_of_work = SqlUnitOfWork(engine)
    await keep(unit_of_work, products=[a_product(stock=9)])

    async def terminated_just_before_its_commit() -> None:
        async with unit_of_work() as tx:
            [pen] = (await tx.products.get_many([PEN], lock=True)).values()
            await tx.products.save_many([pen])
            await terminate_others(postgres_engine)

    with pytest.raises(Aborted, match="was lost, and nothing done"):
        await terminated_just_before_its_commit()
    assert borrowed(engine) == 0


async def test_a_connection_lost_before_its_commit_is_answered_leaves_the_outcome_unknown(
    migrated_postgres: str, postgres_engine: AsyncEngine, open_engines: Callable[[str], AsyncEngine]
) -> None:
    engine = open_engines(migrated_postgres)
    unit_of_work = SqlUnitOfWork(engine)
    await keep(unit_of_work, products=[a_product(stock=9)])

    async def terminated_unheard() -> None:
        async with unit_of_work() as tx:
            [pen] = (await tx.products.get_many([PEN], lock=True)).values()
            await tx.products.save_many([pen])
            terminate_unheard(migrated_postgres)

    with pytest.raises(OutcomeUnknown):
        await terminated_unheard()
    assert borrowed(engine) == 0


async def test_a_restarted_server_costs_no_request_and_one_that_is_gone_is_told_of(
    own_postgres: PostgresServer, open_engines: Callable[[str], AsyncEngine]
) -> None:
    engine = open_engines(own_postgres.url)
    await migrate(engine)
    unit_of_work = SqlUnitOfWork(engine)
    await keep(unit_of_work, products=[a_product(stock=9)])
    await asyncio.gather(*(stock(unit_of_work) for _ in range(4)))

    await asyncio.to_thread(own_postgres.restart)
    await take(unit_of_work)
    assert await stock(unit_of_work) == 8

    await asyncio.to_thread(own_postgres.kill)
    with pytest.raises(Unavailable, match=f"127.0.0.1:{own_postgres.port}, .* refuses connections"):
        await take(unit_of_work)
    await asyncio.to_thread(own_postgres.start)
    await take(unit_of_work)
    assert await stock(unit_of_work) == 7
    assert (await server_version(engine)).startswith("PostgreSQL ")


async def test_a_silent_server_is_given_up_within_its_bound_and_forgiven_when_it_speaks(
    own_postgres: PostgresServer, open_engines: Callable[[str], AsyncEngine]
) -> None:
    await migrate(open_engines(own_postgres.url))
    engine = create_engine(own_postgres.url, statement_timeout=0.5)
    unit_of_work = SqlUnitOfWork(engine)
    try:
        await keep(unit_of_work, products=[a_product(stock=9)])
        own_postgres.pause()
        try:
            with pytest.raises(Unavailable, match="did not answer in time"):
                async with asyncio.timeout(60):
                    await take(unit_of_work)
        finally:
            own_postgres.resume()
        await take(unit_of_work)
        assert await stock(unit_of_work) in {7, 8}
        assert borrowed(engine) == 0
    finally:
        await engine.dispose()
