"""What a migration does to a large table while it is used."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.engine import create_engine
from adapters.sql.migrations.changing import change_check
from adapters.sql.migrations.steps import BuildIndex, FillRows, ValidateCheck
from adapters.sql.migrator import Migrator
from application.errors import Unavailable
from tests.service import until

INDEX = BuildIndex(name="pens_by_colour", table="pens", columns=["colour", "id"], where="colour IS NOT NULL")
FILL = FillRows(table="pens", values="colour = 'blue'", condition="colour IS NULL", batch=10)
MADE = "CREATE TABLE pens (id INTEGER PRIMARY KEY, colour VARCHAR(16), CONSTRAINT pens_are_known CHECK (id > 0))"


@pytest.fixture
async def on_sqlite(tmp_path: Path) -> AsyncIterator[Migrator]:
    async with made(f"sqlite:///{tmp_path / 'pens.db'}") as migrator:
        yield migrator


@pytest.fixture
async def on_postgres(new_database: Callable[[], str]) -> AsyncIterator[Migrator]:
    async with made(new_database()) as migrator:
        yield migrator


@pytest.fixture(params=["on_sqlite", "on_postgres"])
def migrator(request: pytest.FixtureRequest) -> Migrator:
    migrator: Migrator = request.getfixturevalue(request.param)
    return migrator


@asynccontextmanager
async def made(url: str) -> AsyncIterator[Migrator]:
    """With 35 pens, of which none has a colour."""
    engine = create_engine(url, statement_timeout=600, lock_timeout=0.2)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(MADE))
            for number in range(1, 36):
                await connection.execute(text("INSERT INTO pens (id) VALUES (:id)"), {"id": number})
        yield Migrator(engine=engine, tries_for=60)
    finally:
        await engine.dispose()


async def colours(engine: AsyncEngine) -> dict[str | None, int]:
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT colour, count(*) AS pens FROM pens GROUP BY colour"))
        return {row.colour: row.pens for row in rows}


async def is_whole(engine: AsyncEngine, index: str) -> bool:
    """On PostgreSQL: whether the index is there, whole and used."""
    async with engine.connect() as connection:
        valid = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:index)")
        return bool((await connection.execute(valid, {"index": index})).scalar())


async def test_rows_are_filled_in_batches_and_it_is_told_how_many(migrator: Migrator) -> None:
    told: list[tuple[str, int, int]] = []
    async with migrator.engine.begin() as connection:
        await connection.execute(text("UPDATE pens SET colour = 'red' WHERE id = 17"))
    await FILL(Migrator(engine=migrator.engine, tries_for=60, progress=lambda *how: told.append(how)))
    assert await colours(migrator.engine) == {"blue": 34, "red": 1}
    assert told == [("rows of pens", done, 35) for done in (10, 20, 30, 35)]
    await FILL(migrator)
    assert await colours(migrator.engine) == {"blue": 34, "red": 1}


async def test_a_table_without_rows_has_none_to_fill(migrator: Migrator) -> None:
    async with migrator.engine.begin() as connection:
        await connection.execute(text("DELETE FROM pens"))
    await FILL(migrator)


async def test_nobody_waits_for_a_row_that_another_one_has_locked(on_postgres: Migrator) -> None:
    engine = on_postgres.engine
    async with engine.connect() as customer:
        await customer.execute(text("SELECT FROM pens WHERE id = 5 FOR UPDATE"))
        filling = asyncio.create_task(FILL(on_postgres))

        async def the_others_of_its_batch_are_filled() -> bool:
            return (await colours(engine)).get("blue") == 9

        await until(the_others_of_its_batch_are_filled, seconds=15, what="nine pens are filled")
        # They are free again, while it is waited for.
        async with engine.begin() as other:
            await other.execute(text("SELECT FROM pens WHERE id < 5 FOR UPDATE NOWAIT"))
        assert not filling.done()
        await customer.rollback()
        async with asyncio.timeout(60):
            await filling
    assert await colours(engine) == {"blue": 35}


async def test_an_index_is_built_once(migrator: Migrator) -> None:
    for _ in range(2):
        await INDEX(migrator)
    async with migrator.engine.begin() as connection:
        await connection.execute(text("DROP INDEX pens_by_colour"))


async def test_a_table_can_be_written_to_while_its_index_is_built(on_postgres: Migrator) -> None:
    """It is waited for an old transaction meanwhile, for longer than any lock may be."""
    engine = on_postgres.engine
    async with engine.connect() as old:
        await old.execute(text("INSERT INTO pens (id, colour) VALUES (50, 'black')"))
        building = asyncio.create_task(INDEX(on_postgres))

        async def it_waits() -> bool:
            async with engine.connect() as observer:
                return bool((await observer.execute(WAITING)).scalar())

        await until(it_waits, seconds=15, what="the builder waits")
        async with engine.begin() as customer:
            await customer.execute(text("INSERT INTO pens (id, colour) VALUES (51, 'black')"))
        await asyncio.wait([building], timeout=0.5)
        assert not building.done()
        await old.commit()
        async with asyncio.timeout(60):
            await building
    assert await is_whole(engine, "pens_by_colour")


WAITING = text(
    "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock'"
    " AND datname = current_database()"
)


async def test_half_an_index_is_built_anew(on_postgres: Migrator) -> None:
    """As it is left over where rows broke its rule, or its builder has died."""
    one_each = BuildIndex(name="one_pen_of_a_kind", table="pens", columns=["colour"], unique=True)
    async with on_postgres.engine.begin() as connection:
        await connection.execute(text("UPDATE pens SET colour = 'red' WHERE id < 3"))
    with pytest.raises(Unavailable, match="could not create unique index"):
        await one_each(on_postgres)
    assert not await is_whole(on_postgres.engine, "one_pen_of_a_kind")
    async with on_postgres.engine.begin() as connection:
        await connection.execute(text("UPDATE pens SET colour = NULL"))
    await one_each(on_postgres)
    assert await is_whole(on_postgres.engine, "one_pen_of_a_kind")


async def test_a_check_of_a_large_table_is_changed_at_once_and_looked_at_later(migrator: Migrator) -> None:
    """To look at every row while nobody can write would take long."""
    async with migrator.engine.begin() as connection:
        await connection.execute(text("UPDATE pens SET colour = 'red'"))
        await connection.run_sync(change_check, "pens", "pens_are_known", "colour = 'red'", validate=False)
    validate = ValidateCheck(table="pens", name="pens_are_known")
    with pytest.raises(IntegrityError):
        async with migrator.engine.begin() as connection:
            await connection.execute(text("INSERT INTO pens (id, colour) VALUES (36, 'blue')"))
    await validate(migrator)
    await validate(migrator)


async def test_a_row_that_does_not_meet_a_new_check_is_found(on_postgres: Migrator) -> None:
    async with on_postgres.engine.begin() as connection:
        await connection.execute(text("UPDATE pens SET colour = 'blue'"))
        await connection.run_sync(change_check, "pens", "pens_are_known", "colour = 'red'", validate=False)
    with pytest.raises(IntegrityError, match="pens_are_known"):
        await ValidateCheck(table="pens", name="pens_are_known")(on_postgres)
