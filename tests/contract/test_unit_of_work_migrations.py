import asyncio
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine.interfaces import ReflectedIndex
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.migrate import migrate
from adapters.sql.schema import revisions, schema_problem
from adapters.sql.tables import metadata
from application.errors import Unavailable

REVISIONS = revisions()

MIGRATE = """
import asyncio, sys
from adapters.sql.core.engine import create_engine
from adapters.sql.migrate import migrate

async def main():
    engine = create_engine(sys.argv[1])
    try:
        print(len(await migrate(engine)))
    finally:
        await engine.dispose()

asyncio.run(main())
"""


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("new_database")()
    return url


@pytest.fixture
def empty_engine(empty_database: str, open_engines: Callable[[str], AsyncEngine]) -> AsyncEngine:
    return open_engines(empty_database)


async def test_migrations_lead_to_the_tables_that_the_code_expects(empty_engine: AsyncEngine) -> None:
    await migrate(empty_engine)

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with empty_engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_migrations_make_the_same_constraints_and_indexes_as_the_tables_of_the_code(
    empty_engine: AsyncEngine,
    open_engines: Callable[[str], AsyncEngine],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    """What the comparison of Alembic leaves out: checks, and the conditions of indexes."""
    expected = open_engines(
        f"sqlite:///{tmp_path / 'expected.db'}"
        if empty_engine.dialect.name == "sqlite"
        else request.getfixturevalue("new_database")()
    )
    await migrate(empty_engine)
    async with expected.begin() as connection:
        await connection.run_sync(metadata.create_all)
    async with empty_engine.connect() as made, expected.connect() as wanted:
        assert await made.run_sync(_details) == await wanted.run_sync(_details)


def _details(connection: Connection) -> dict[str, object]:
    inspector = inspect(connection)
    return {
        table: (
            sorted(inspector.get_check_constraints(table), key=lambda check: str(check["name"])),
            sorted(
                (str(index["name"]), index["column_names"], index["unique"], _conditions(index))
                for index in inspector.get_indexes(table)
            ),
            sorted(inspector.get_foreign_keys(table), key=lambda key: str(key["name"])),
            inspector.get_pk_constraint(table),
            [(column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)],
        )
        for table in metadata.tables
    }


def _conditions(index: ReflectedIndex) -> list[str]:
    return sorted(f"{option}: {value}" for option, value in index.get("dialect_options", {}).items())


async def test_a_database_is_migrated_once(empty_engine: AsyncEngine) -> None:
    assert await migrate(empty_engine) == REVISIONS
    assert await migrate(empty_engine) == []


async def test_whoever_can_not_work_yet_is_told_what_to_do(empty_engine: AsyncEngine) -> None:
    assert await schema_problem(empty_engine) == "there are no tables yet: run `holdfast migrate`"
    await migrate(empty_engine)
    assert await schema_problem(empty_engine) is None
    async with empty_engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    problem = await schema_problem(empty_engine)
    assert problem is not None
    assert "9999" in problem


async def test_two_processes_may_migrate_at_once(empty_database: str, empty_engine: AsyncEngine) -> None:
    root = Path(__file__).parents[2]
    migrators = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", MIGRATE, empty_database),
            cwd=root,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(2)
    ]
    async with asyncio.timeout(60):
        outputs = [await migrator.communicate() for migrator in migrators]
    assert [error.decode() for _, error in outputs] == ["", ""]
    assert sorted(int(output) for output, _ in outputs) == [0, len(REVISIONS)]
    assert await schema_problem(empty_engine) is None


async def test_a_file_that_another_process_is_just_making_is_waited_for(
    tmp_path: Path, open_engines: Callable[[str], AsyncEngine]
) -> None:
    file = tmp_path / "new.db"
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        # In the old journal mode, as whoever is just switching to WAL holds it: SQLite doesn't wait for this lock.
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, other.execute, ["COMMIT"])
        release.start()
        assert await migrate(open_engines(f"sqlite:///{file}")) == REVISIONS
        release.join()


async def test_a_migration_that_is_interrupted_leaves_nothing_behind(
    empty_engine: AsyncEngine, open_engines: Callable[[str], AsyncEngine], empty_database: str
) -> None:
    loop_turns = 20
    while True:
        # Interrupted later each time, until it is through before.
        loop_turns *= 2
        task = asyncio.create_task(migrate(empty_engine))
        for _ in range(loop_turns):
            await asyncio.sleep(0)
        task.cancel()
        [outcome] = await asyncio.gather(task, return_exceptions=True)
        if outcome == REVISIONS:
            break
        assert isinstance(outcome, asyncio.CancelledError)
        other = open_engines(empty_database)
        async with other.connect() as connection:
            found = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
        await other.dispose()
        # All or nothing: the commit may have been on its way when the interruption came.
        if found:
            assert found == {*metadata.tables, "alembic_version"}
            break
    assert await schema_problem(empty_engine) is None


async def test_a_server_that_is_not_there_is_named(open_engines: Callable[[str], AsyncEngine]) -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1, database shop refuses connections") as caught:
        await migrate(open_engines("postgresql://ana:hidden@127.0.0.1:1/shop"))
    assert "hidden" not in str(caught.value)
