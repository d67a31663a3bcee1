"""Units of work: one suite for memory, SQLite and PostgreSQL."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.memory.store import MemoryStore
from adapters.memory.unit_of_work import MemoryUnitOfWork
from adapters.sql.migrate import migrate
from adapters.sql.tables import metadata
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.execution.after_commit import AfterCommit
from application.ports.persistence import UnitOfWork
from domain.catalogue.product import Product
from domain.orders.order import Order
from tests.engines import engine_on

# Units of work over the same store, each with its own work after commits.
OpenUnitOfWork = Callable[[AfterCommit], UnitOfWork]


def _migrated(url: str) -> None:
    async def bring_up_to_date() -> None:
        async with engine_on(url) as engine:
            await migrate(engine)

    # In a thread of its own, so that no event loop of a test is disturbed.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, bring_up_to_date()).result(timeout=240)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    _migrated(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(new_database: Callable[[], str]) -> str:
    url = new_database()
    _migrated(url)
    return url


@pytest.fixture
async def sqlite_engine(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """A migrated, empty database in a file."""
    async with engine_on(f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'holdfast.db')}") as engine:
        yield engine


@pytest.fixture
async def postgres_engine(migrated_postgres: str) -> AsyncIterator[AsyncEngine]:
    """A migrated, empty database on a server."""
    async with engine_on(migrated_postgres) as engine:
        async with engine.begin() as connection:
            await connection.execute(
                text(f"TRUNCATE {', '.join(metadata.tables.keys() - {'schema_window'})} RESTART IDENTITY CASCADE")
            )
            # A migration has put it there.
            await connection.execute(text("INSERT INTO feed_head (id, given, pruned) VALUES (1, 0, 0)"))
            await connection.execute(text("INSERT INTO shop (id, secret) VALUES (gen_random_uuid(), repeat('0a', 32))"))
        yield engine


@pytest.fixture(params=["sqlite", "postgres"])
def sql_engine(request: pytest.FixtureRequest) -> AsyncEngine:
    engine: AsyncEngine = request.getfixturevalue(f"{request.param}_engine")
    return engine


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def open_unit_of_work(request: pytest.FixtureRequest) -> OpenUnitOfWork:
    if request.param == "memory":
        store = MemoryStore()
        return lambda after_commit: MemoryUnitOfWork(store, after_commit)
    engine = request.getfixturevalue(f"{request.param}_engine")
    return lambda after_commit: SqlUnitOfWork(engine, after_commit)


@pytest.fixture
def unit_of_work(open_unit_of_work: OpenUnitOfWork) -> UnitOfWork:
    return open_unit_of_work(_do_nothing)


async def _do_nothing(_: object) -> None:
    pass


async def keep(unit_of_work: UnitOfWork, *, products: Sequence[Product] = (), orders: Sequence[Order] = ()) -> None:
    """Commit what a test begins with."""
    async with unit_of_work() as tx:
        await tx.products.add_many(products)
        await tx.orders.add_many(orders)
