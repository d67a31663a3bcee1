"""A process that starts while the database is away checks the tables as soon as it is there."""

import asyncio

import pytest
from sqlalchemy import text

from tests.engines import engine_on
from tests.integration.conftest import Wired
from tests.service import until


async def set_revision(url: str, revision: str) -> None:
    async with engine_on(url) as engine, engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
        await connection.execute(text("UPDATE schema_window SET serves = :revision"), {"revision": revision})


@pytest.fixture
async def of_another_release(wired: Wired) -> Wired:
    """The tables are those of a release to come, and the database can't be reached."""
    # The cable has its own address for the same database.
    await set_revision(wired.service.settings["DATABASE_URL"], "9999")
    database = wired.cables["PostgreSQL"]
    database.plugged = False
    database.cut()
    return wired


@pytest.mark.parametrize("program", ["api", "worker", "relay"])
async def test_nobody_works_on_tables_of_another_release_that_come_later(
    of_another_release: Wired, program: str
) -> None:
    service = of_another_release.service
    process = service.start(program)

    async def misses_the_database() -> bool:
        return "server does not work" in process.output()

    await until(misses_the_database, seconds=30, what="it has missed the database")
    of_another_release.cables["PostgreSQL"].restore()
    assert await asyncio.to_thread(process.wait, seconds=30) == 1
    assert "serve releases from revision 9999 on" in process.output()


@pytest.mark.parametrize("program", ["worker", "relay"])
async def test_who_waits_for_the_database_can_be_stopped(of_another_release: Wired, program: str) -> None:
    service = of_another_release.service
    process = service.start(program)

    async def misses_the_database() -> bool:
        return "server does not work" in process.output()

    await until(misses_the_database, seconds=30, what="it has missed the database")
    assert await asyncio.to_thread(service.stop) == {program: 0}
