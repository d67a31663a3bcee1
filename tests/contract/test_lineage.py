"""A database that was restored from a backup is known, and one whose server was promoted is not taken for it."""

import secrets
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.redis.client import open_redis
from adapters.redis.last_heartbeat import RedisLastHeartbeat
from adapters.sql.heartbeats import SqlHeartbeats
from adapters.sql.lineage import LastHeartbeat, NoLastHeartbeat, SqlLineage
from adapters.sql.lineage_watch import LineageWatch
from entrypoints.alive import WORKER
from entrypoints.doctor import warnings
from entrypoints.settings import Settings

Open = Callable[[str], AsyncEngine]
ANOTHER_TIMELINE = "UPDATE shop SET lineage = 'that of the server before'"
ME = "this process"
LONG = timedelta(seconds=5)


async def run(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


@pytest.fixture
async def lineage(postgres_engine: AsyncEngine) -> SqlLineage:
    lineage = SqlLineage(postgres_engine)
    await lineage.begin()
    return lineage


class Process:
    """One that is at work."""

    def __init__(self, engine: AsyncEngine, noted: LastHeartbeat | None = None) -> None:
        self._heartbeats = SqlHeartbeats(engine)
        self._watch = LineageWatch(engine, self._heartbeats, WORKER, ME, noted or NoLastHeartbeat())

    async def beat(self) -> None:
        if not await self._watch.look():
            return
        await self._heartbeats.beat(WORKER, ME)
        await self._watch.wrote()


async def test_the_first_program_keeps_where_the_database_comes_from(postgres_engine: AsyncEngine) -> None:
    await run(postgres_engine, "UPDATE shop SET lineage = NULL")
    lineage = SqlLineage(postgres_engine)
    assert await lineage.keep() is None
    await run(postgres_engine, "UPDATE shop SET lineage = lineage || '/2'")
    assert "holdfast restored" in str(await lineage.keep())
    assert await lineage.problem() is not None


@pytest.mark.parametrize(
    "work", ["VACUUM FULL orders", "TRUNCATE order_items, payments, orders", "ALTER TABLE orders ADD COLUMN more text"]
)
async def test_work_on_the_tables_is_no_restore(lineage: SqlLineage, postgres_engine: AsyncEngine, work: str) -> None:
    async with postgres_engine.connect() as connection:
        at_once = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await at_once.execute(text(work))
    try:
        assert await lineage.problem() is None
    finally:
        await run(postgres_engine, "ALTER TABLE orders DROP COLUMN IF EXISTS more")


async def test_tables_that_were_made_anew_from_a_dump_are_known(
    lineage: SqlLineage, new_database: Callable[[], str], migrated_postgres: str, open_engines: Open
) -> None:
    # As a dump that is restored into another database: all rows are there, that of the shop as well.
    copy = open_engines(new_database())
    await run(copy, "CREATE TABLE shop (id uuid, lineage text)")
    await run(copy, "CREATE TABLE orders (id uuid)")
    async with open_engines(migrated_postgres).connect() as connection:
        kept = (await connection.execute(text("SELECT lineage FROM shop"))).scalar_one()
    await run(copy, f"INSERT INTO shop VALUES (gen_random_uuid(), '{kept}')")  # noqa: S608 - our own numbers
    restored = SqlLineage(copy)
    assert "holdfast restored" in str(await restored.problem())
    await restored.begin()
    assert await restored.problem() is None


async def test_after_a_failover_a_process_that_finds_what_it_has_written_goes_on(
    lineage: SqlLineage, postgres_engine: AsyncEngine
) -> None:
    process = Process(postgres_engine)
    for _ in range(3):
        await process.beat()
    await run(postgres_engine, ANOTHER_TIMELINE)
    await process.beat()
    assert await lineage.problem() is None


async def test_after_a_restore_a_process_misses_what_it_has_written_however_long_it_goes_on(
    lineage: SqlLineage, postgres_engine: AsyncEngine
) -> None:
    process = Process(postgres_engine)
    for _ in range(3):
        await process.beat()
    await run(postgres_engine, ANOTHER_TIMELINE)
    await run(postgres_engine, "UPDATE heartbeats SET seen_at = seen_at - interval '1 hour'")
    for _ in range(3):
        await process.beat()
    assert await lineage.problem() is not None


async def test_a_process_that_has_just_begun_does_not_decide(lineage: SqlLineage, postgres_engine: AsyncEngine) -> None:
    await run(postgres_engine, ANOTHER_TIMELINE)
    process = Process(postgres_engine)
    await process.beat()
    assert await lineage.problem() is not None


async def test_a_sqlite_file_has_no_lineage(sqlite_engine: AsyncEngine) -> None:
    lineage = SqlLineage(sqlite_engine)
    await lineage.begin()
    assert await lineage.keep() is None
    await Process(sqlite_engine).beat()


class Noted:
    """The last heartbeat, as it is noted apart from the database."""

    def __init__(self) -> None:
        self.at: datetime | None = None

    async def note(self, at: datetime) -> None:
        self.at = at

    async def get(self) -> datetime | None:
        return self.at


@pytest.fixture(params=["in memory", "in redis"])
async def noted(request: pytest.FixtureRequest) -> AsyncIterator[LastHeartbeat]:
    if request.param == "in memory":
        yield Noted()
        return
    async with open_redis(request.getfixturevalue("redis_url"), timeout=5) as redis:
        yield RedisLastHeartbeat(redis, f"test:{secrets.token_hex(8)}")


async def test_after_a_failover_in_which_everything_died_programs_start(
    lineage: SqlLineage, postgres_engine: AsyncEngine, noted: LastHeartbeat
) -> None:
    await Process(postgres_engine, noted).beat()
    await run(postgres_engine, ANOTHER_TIMELINE)
    assert await lineage.problem() is not None
    assert await SqlLineage(postgres_engine, noted).problem() is None
    assert await lineage.problem() is not None, "it was written by somebody who only asked"
    assert await SqlLineage(postgres_engine, noted).keep() is None
    # It is kept, also for those that can't tell.
    assert await lineage.problem() is None


@pytest.mark.parametrize("moved", ["- interval '1 hour'", "+ interval '1 hour'"], ids=["set back", "noted long ago"])
async def test_after_a_restore_no_program_starts_though_a_heartbeat_is_noted(
    lineage: SqlLineage, postgres_engine: AsyncEngine, noted: LastHeartbeat, moved: str
) -> None:
    await Process(postgres_engine, noted).beat()
    await run(postgres_engine, ANOTHER_TIMELINE)
    await run(postgres_engine, f"UPDATE heartbeats SET seen_at = seen_at {moved}")  # noqa: S608 - our own words
    assert await SqlLineage(postgres_engine, noted).keep() is not None
    assert await lineage.problem() is not None


async def test_the_doctor_says_of_a_restore_what_a_start_says(
    lineage: SqlLineage, postgres_engine: AsyncEngine, redis_url: str, migrated_postgres: str
) -> None:
    settings = Settings(
        database_url=migrated_postgres,
        redis_url=redis_url,
        namespace=f"test-{secrets.token_hex(8)}",
        redis_timeout=LONG,
    )

    async def said() -> bool:
        return any("holdfast restored" in warning for warning in await warnings(settings, postgres_engine))

    async with open_redis(redis_url, timeout=5) as redis:
        await Process(postgres_engine, RedisLastHeartbeat(redis, settings.namespace)).beat()
    assert not await said()
    await run(postgres_engine, ANOTHER_TIMELINE)
    assert not await said(), "programs start: the database has the heartbeat that is noted in Redis"
    assert await lineage.problem() is not None, "it was written by the doctor, who only asks"
    await run(postgres_engine, "UPDATE heartbeats SET seen_at = seen_at - interval '1 hour'")
    assert await said()


async def test_a_process_that_has_just_begun_does_not_hide_that_others_were_heard_of_long_ago(
    lineage: SqlLineage, postgres_engine: AsyncEngine, noted: LastHeartbeat
) -> None:
    """It may run before the database can be reached, and so before it is known where that comes from."""
    await Process(postgres_engine, noted).beat()
    await run(postgres_engine, ANOTHER_TIMELINE)
    await run(postgres_engine, "UPDATE heartbeats SET seen_at = seen_at - interval '1 hour'")
    await Process(postgres_engine, noted).beat()
    assert await SqlLineage(postgres_engine, noted).problem() is not None
    assert await lineage.problem() is not None


async def test_a_process_that_goes_on_beside_a_restore_notes_nothing(
    lineage: SqlLineage, postgres_engine: AsyncEngine, noted: LastHeartbeat
) -> None:
    process = Process(postgres_engine, noted)
    for _ in range(3):
        await process.beat()
    await run(postgres_engine, ANOTHER_TIMELINE)
    await run(postgres_engine, "UPDATE heartbeats SET seen_at = seen_at - interval '1 hour'")
    before = await noted.get()
    for _ in range(3):
        await process.beat()
    assert await noted.get() == before
