"""Databases and users whose defaults are others than a new PostgreSQL has."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg
import pytest
from attrs import evolve
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.health import unsafe_settings
from adapters.sql.migrate import migrate
from adapters.sql.schema import schema_problem
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.errors import Misconfigured
from domain.ids import ProductId
from entrypoints.doctor import warnings
from entrypoints.settings import Settings
from tests.contract.conftest import keep
from tests.engines import engine_on
from tests.servers import PostgresServer
from tests.service import until
from tests.unit.builders import a_product, placed

PEN: Final = ProductId(1)
NAME: Final = "\\ Füller 'ein' €"
# Those that change what a statement means, or what becomes of those who meet.
OTHER_DEFAULTS: Final = (
    "default_transaction_isolation = 'serializable'",
    "default_transaction_deferrable = on",
    "standard_conforming_strings = off",
    "array_nulls = off",
    "transform_null_equals = on",
    "extra_float_digits = -15",
    "bytea_output = 'escape'",
    "DateStyle = 'German'",
    "IntervalStyle = 'sql_standard'",
    "TimeZone = 'Asia/Kolkata'",
    "client_encoding = 'LATIN1'",
    "statement_timeout = 1",
    "lock_timeout = 1",
)


async def change(url: str, *settings: str) -> None:
    """Change defaults of the database, of which sessions that begin later hear."""
    connection = await asyncpg.connect(url, timeout=30)
    try:
        for setting in settings:
            await connection.execute(f"ALTER DATABASE {urlsplit(url).path.strip('/')} SET {setting}")
    finally:
        await connection.close()


@pytest.fixture
async def other_engine(new_migrated_database: Callable[[], str]) -> AsyncIterator[AsyncEngine]:
    url = new_migrated_database()
    await change(url, *OTHER_DEFAULTS)
    async with engine_on(url) as engine:
        yield engine


async def test_those_who_buy_one_product_at_once_wait_for_each_other_whatever_the_defaults(
    other_engine: AsyncEngine,
) -> None:
    unit_of_work = SqlUnitOfWork(other_engine)
    await keep(unit_of_work, products=[evolve(a_product(stock=30), name=NAME)])

    async def take() -> None:
        async with unit_of_work() as tx:
            [pen] = (await tx.products.get_many({PEN}, lock=True)).values()
            pen.take(1)
            await tx.products.save_many([pen])

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(30):
            group.create_task(take())
    async with unit_of_work.reading() as tx:
        [pen] = (await tx.products.get_many({PEN})).values()
    assert (pen.stock, pen.name) == (0, NAME)


async def test_what_is_written_is_read_whatever_the_defaults(other_engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(other_engine)
    order, event = placed()
    await keep(unit_of_work, products=[a_product()], orders=[order])
    async with unit_of_work() as tx:
        await tx.events.add_many([event])
    async with unit_of_work.reading() as tx:
        assert await tx.orders.get_many({order.id}) == {order.id: order}
        assert await tx.events.of_orders({order.id}) == [event]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_no_tables_are_made_where_some_names_could_not_be_stored(
    new_database: Callable[..., str], encoding: str
) -> None:
    async with engine_on(new_database(encoding=encoding)) as engine:
        with pytest.raises(Misconfigured, match=f"server_encoding is {encoding}: .*createdb --encoding=UTF8"):
            await migrate(engine)
        assert "no tables" in str(await schema_problem(engine))


async def test_the_doctor_names_such_a_database_before_there_are_tables(
    new_database: Callable[..., str], tmp_path: Path
) -> None:
    url = new_database(encoding="LATIN1")
    async with engine_on(url) as engine:
        found = await warnings(Settings(data=tmp_path, database_url=url), engine)
    assert any("server_encoding is LATIN1" in warning for warning in found)


async def test_a_setting_by_which_orders_may_be_lost_is_named(new_database: Callable[..., str]) -> None:
    url = new_database()
    await change(url, "synchronous_commit = off")
    async with engine_on(url) as engine:
        assert "may lose orders that were answered" in (await unsafe_settings(engine))["synchronous_commit"]


async def test_a_server_that_does_not_wait_for_its_disk_is_named(own_postgres: PostgresServer) -> None:
    async with engine_on(own_postgres.url) as engine:
        assert await unsafe_settings(engine) == {}
        connection = await asyncpg.connect(own_postgres.url, timeout=30)
        try:
            for name in ("fsync", "full_page_writes"):
                await connection.execute(f"ALTER SYSTEM SET {name} = off")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()

        async def are_named(names: set[str]) -> bool:
            return (await unsafe_settings(engine)).keys() == names

        await until(partial(are_named, {"fsync", "full_page_writes"}), seconds=30, what="both are named")


async def test_sqlite_has_no_such_settings(sqlite_engine: AsyncEngine) -> None:
    assert await unsafe_settings(sqlite_engine) == {}
