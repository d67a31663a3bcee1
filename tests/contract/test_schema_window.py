"""Two releases beside each other: the later one adds first, and takes away when the earlier one is gone."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import Connection, Row, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql import migrate as migrating
from adapters.sql.core.engine import create_engine
from adapters.sql.health import expect_writable
from adapters.sql.migrate import NoRollout, OlderSessions, contract, expand, migrate
from adapters.sql.migrator import Migrator
from adapters.sql.revisions import newest
from adapters.sql.schema import schema_of, schema_problem
from application.errors import Unavailable
from tests.engines import engine_on
from tests.later_release import later_release
from tests.servers import PostgresServer
from tests.service import until

ADD = """
def upgrade():
    op.add_column("products", sa.Column("origin", sa.String(16)))
"""
FILL = """
before_upgrade = (
    FillRows(table="products", values="origin = 'here'", condition="origin IS NULL"),
    BuildIndex(name="products_by_origin", table="products", columns=["origin", "id"]),
)

def upgrade():
    pass

before_contract = (FillRows(table="products", values="origin = 'here'", condition="origin IS NULL"),)

def contract():
    op.execute("DROP TABLE earlier_prices")
"""
RELEASE = (ADD, FILL)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    url: str = request.getfixturevalue("new_migrated_database")()
    return url


@pytest.fixture
async def engine(url: str, open_engines: Callable[[str], AsyncEngine]) -> AsyncEngine:
    engine = open_engines(url)
    await migrate(engine)
    return engine


@pytest.fixture
def on_postgres(new_migrated_database: Callable[[], str]) -> str:
    return new_migrated_database()


async def add_products(engine: AsyncEngine, count: int) -> None:
    """As this release adds them, which knows nothing of an origin."""
    async with engine.begin() as connection:
        for number in range(1, count + 1):
            await connection.execute(
                text(
                    "INSERT INTO products (id, name, price, currency, stock, version, created_at)"
                    " VALUES (:id, 'Pen', 100, 'EUR', 1, 0, CURRENT_TIMESTAMP)"
                ),
                {"id": number},
            )


async def tables(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        return await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))


async def without_origin(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM products WHERE origin IS NULL"))).scalar_one())


async def test_a_release_works_on_later_tables_for_as_long_as_they_serve_it(
    engine: AsyncEngine, tmp_path: Path
) -> None:
    with later_release(tmp_path, ADD) as revisions:
        assert await migrate(engine) == revisions
    assert await schema_problem(engine) is None
    await expect_writable(engine)
    # Nothing is left to do for it, and nothing is undone.
    assert await migrate(engine) == []
    async with engine.begin() as connection:
        assert (await connection.run_sync(schema_of)).revision == revisions[-1]
        await connection.execute(text("UPDATE schema_window SET serves = :later"), {"later": revisions[-1]})
    problem = await schema_problem(engine)
    assert problem == (
        f"the tables are a later release's, and serve releases from revision {revisions[-1]} on; this version is of"
        f" revision {newest()}: start the later release"
    )
    with pytest.raises(Unavailable, match="serve releases from revision"):
        await expect_writable(engine)
    with pytest.raises(Unavailable, match="serve releases from revision"):
        await migrate(engine)


async def test_a_shop_that_is_down_is_migrated_at_once(url: str, engine: AsyncEngine, tmp_path: Path) -> None:
    await add_products(engine, 3)
    await engine.dispose()
    with later_release(tmp_path, *RELEASE) as revisions:
        async with engine_on(url) as later:
            assert await migrate(later) == revisions
            assert await without_origin(later) == 0
            assert "earlier_prices" not in await tables(later)
            assert await migrate(later) == []
            assert await schema_problem(later) is None
    problem = await schema_problem(engine)
    assert problem is not None
    assert "start the later release" in problem


async def test_both_ways_lead_to_the_same_tables(
    on_postgres: str, new_migrated_database: Callable[[], str], tmp_path: Path
) -> None:
    made = []
    with later_release(tmp_path, *RELEASE):
        async with engine_on(on_postgres) as engine:
            await migrate(engine)
            made.append(await columns(engine))
        async with engine_on(new_migrated_database()) as engine:
            await expand(engine)
            await contract(engine)
            made.append(await columns(engine))
    assert made[0] == made[1]


async def columns(engine: AsyncEngine) -> dict[str, list[str]]:
    def found(connection: Connection) -> dict[str, list[str]]:
        inspector = inspect(connection)
        return {
            table: [
                f"{column['name']} {column['type']} {column['nullable']}" for column in inspector.get_columns(table)
            ]
            for table in sorted(inspector.get_table_names())
        }

    async with engine.connect() as connection:
        return await connection.run_sync(found)


async def test_before_a_rollout_nothing_is_taken_away_and_after_it_the_rest_is_done(
    on_postgres: str, tmp_path: Path
) -> None:
    async with engine_on(on_postgres) as earlier:
        await add_products(earlier, 3)
        with later_release(tmp_path, *RELEASE) as revisions:
            async with engine_on(on_postgres) as later:
                assert await expand(later) == revisions
                assert await without_origin(later) == 0
        # The earlier release goes on, and is started anew.
        assert await schema_problem(earlier) is None
        async with earlier.begin() as connection:
            await connection.execute(text("UPDATE products SET origin = NULL"))
        assert "earlier_prices" in await tables(earlier)
        await earlier.dispose()
        with later_release(tmp_path) as revisions:
            async with engine_on(on_postgres) as later:
                assert await contract(later) == revisions[-1:]
                assert await contract(later) == []
                assert "earlier_prices" not in await tables(later)
                # What it has written meanwhile is filled as well.
                assert await without_origin(later) == 0
        problem = await schema_problem(earlier)
        assert problem is not None
        assert f"serve releases from revision {revisions[-1]} on" in problem


@pytest.mark.parametrize("name", ["holdfast", "till"])
async def test_nothing_is_taken_away_while_an_earlier_release_is_at_work(
    on_postgres: str, tmp_path: Path, name: str
) -> None:
    async with engine_on(f"{on_postgres}?application_name={name}") as earlier, earlier.connect() as session:
        # In no transaction, which the server would end for being idle.
        await session.execute(text("SELECT 1"))
        await session.commit()
        with later_release(tmp_path, *RELEASE) as revisions:
            async with engine_on(on_postgres) as later:
                with pytest.raises(OlderSessions) as refused:
                    await migrate(later)
                assert f"applied {', '.join(revisions)}; nothing was taken away: 1 sessions" in str(refused.value)
                assert f"{name}/{int(revisions[0]) - 1:04} at " in str(refused.value)
                with pytest.raises(OlderSessions):
                    await contract(later)
                assert "earlier_prices" in await tables(later)
        # The refused attempts have not shut it out.
        assert await schema_problem(earlier) is None
        await session.invalidate()
        await earlier.dispose()
        with later_release(tmp_path) as revisions:
            async with engine_on(on_postgres) as later:
                await contract_as_soon_as_possible(later)
                assert "earlier_prices" not in await tables(later)


async def contract_as_soon_as_possible(engine: AsyncEngine) -> None:
    """The server needs a moment to notice that a session has ended."""
    async with asyncio.timeout(60):
        while True:
            try:
                await contract(engine)
            except OlderSessions:
                await asyncio.sleep(0.05)
            else:
                return


async def test_sessions_from_before_they_told_their_revision_count_and_those_of_others_do_not(
    on_postgres: str, tmp_path: Path
) -> None:
    names = ("psql", "", "holdfast backup", "of/others")
    others = [await asyncpg.connect(on_postgres, server_settings={"application_name": name}) for name in names]
    oldest = await asyncpg.connect(on_postgres, server_settings={"application_name": "holdfast"})
    try:
        with later_release(tmp_path, *RELEASE):
            async with engine_on(on_postgres) as later:
                with pytest.raises(OlderSessions, match=r"1 sessions are of .*: holdfast at "):
                    await migrate(later)
                await oldest.close()
                await contract_as_soon_as_possible(later)
    finally:
        for each in (*others, oldest):
            await each.close()


async def test_an_earlier_session_that_comes_after_the_first_look_is_seen(
    on_postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has found an open window, and goes on."""
    looked, late, name = migrating._older, [], f"holdfast/{newest()}"  # noqa: SLF001 - for a moment inside of it

    async def then_one_comes(migrator: Migrator, revision: str) -> Sequence[Row[Any]]:
        found = await looked(migrator, revision)
        if not late:
            late.append(await asyncpg.connect(on_postgres, server_settings={"application_name": name}))
        return found

    monkeypatch.setattr(migrating, "_older", then_one_comes)
    with later_release(tmp_path, *RELEASE):
        async with engine_on(on_postgres) as later:
            try:
                with pytest.raises(OlderSessions, match=f"{name} at "):
                    await migrate(later)
                assert "earlier_prices" in await tables(later)
            finally:
                await late[0].close()
    async with engine_on(on_postgres) as earlier:
        assert await schema_problem(earlier) is None


async def test_one_process_at_a_time_has_no_rollout(tmp_path: Path) -> None:
    async with engine_on(f"sqlite:///{tmp_path / 'shop.db'}") as engine:
        for half in (expand, contract):
            with pytest.raises(NoRollout, match="SQLite has one process at a time"):
                await half(engine)
    assert not (tmp_path / "shop.db").exists()


async def test_a_long_name_of_sessions_keeps_its_revision(on_postgres: str) -> None:
    engine = create_engine(f"{on_postgres}?application_name={'é' * 40}")
    try:
        async with engine.connect() as connection:
            shown = (await connection.execute(text("SHOW application_name"))).scalar_one()
    finally:
        await engine.dispose()
    assert shown.endswith(f"/{newest()}")


async def test_an_automatic_vacuum_of_the_table_gives_way(
    own_postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would not for whoever waits for as short a time as a migration may. One of a large table takes hours."""
    monkeypatch.setattr(migrating, "_TRIES_FOR", 120.0)
    async with engine_on(own_postgres.url) as engine:
        await migrate(engine)
        async with engine.connect() as connection:
            autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await autocommit.execute(text("ALTER SYSTEM SET autovacuum_naptime = '1s'"))
            await autocommit.execute(text("SELECT pg_reload_conf()"))
        async with engine.begin() as connection:
            await connection.execute(text(f"ALTER TABLE products SET ({SLOW_VACUUM})"))
            await connection.execute(text(MANY_PRODUCTS))
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE products SET stock = 2"))

        async def it_is_at_work() -> bool:
            async with engine.connect() as connection:
                return bool((await connection.execute(AT_WORK)).scalar())

        await until(it_is_at_work, seconds=60, what="the automatic vacuum has the table")
        with later_release(tmp_path, ADD) as revisions:
            async with engine_on(own_postgres.url) as later:
                assert await migrate(later) == revisions


SLOW_VACUUM = (
    "autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100,"
    " autovacuum_vacuum_cost_limit = 1"
)
MANY_PRODUCTS = (
    "INSERT INTO products (id, name, price, currency, stock, version, created_at)"
    " SELECT number, 'Pen', 100, 'EUR', 1, 0, now() FROM generate_series(1, 20000) AS number"
)
AT_WORK = text(
    "SELECT count(*) > 0 FROM pg_stat_activity"
    " WHERE backend_type = 'autovacuum worker' AND query LIKE 'autovacuum: VACUUM%products%'"
)
