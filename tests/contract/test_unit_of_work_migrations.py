import asyncio
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine.interfaces import ReflectedIndex
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql import migrate as migrating
from adapters.sql.core.engine import backend_of, create_engine
from adapters.sql.migrate import migrate
from adapters.sql.revisions import revisions
from adapters.sql.schema import current_revision, schema_problem
from adapters.sql.tables import metadata
from application.errors import Aborted, Unavailable

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
        assert await made.run_sync(details) == await wanted.run_sync(details)


def details(connection: Connection) -> dict[str, tuple[Any, ...]]:
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
        await connection.execute(text("UPDATE schema_window SET serves = '9998'"))
    problem = await schema_problem(empty_engine)
    assert problem is not None
    assert "serve releases from revision 9998 on" in problem


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
    # On SQLite, each transaction is one revision, of whichever comes first.
    assert sum(int(output.splitlines()[-1]) for output, _ in outputs) == len(REVISIONS)
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


async def test_a_migration_that_is_interrupted_leaves_whole_revisions_and_can_go_on(
    empty_engine: AsyncEngine, open_engines: Callable[[str], AsyncEngine], empty_database: str, tmp_path: Path
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
        if isinstance(outcome, list):
            break
        assert isinstance(outcome, asyncio.CancelledError)
        other = open_engines(empty_database)
        async with other.connect() as connection:
            revision = await connection.run_sync(current_revision)
            found = await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
        await other.dispose()
        whole = open_engines(f"sqlite:///{tmp_path / f'{loop_turns}.db'}")
        async with whole.connect() as connection:
            if revision is not None:
                await migrate(whole, to=revision)
            assert found == await connection.run_sync(lambda sync: set(inspect(sync).get_table_names()))
    assert await schema_problem(empty_engine) is None


@pytest.fixture
def soon_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wait of the server is short, as the wait for another migrator is long to a server that is busy."""
    monkeypatch.setattr(migrating, "_LOCK_TIMEOUT", 0.1)
    monkeypatch.setattr(migrating, "_STATEMENT_TIMEOUT", 0.3)


async def test_a_step_on_a_machine_that_is_overloaded_has_more_time_between_statements_than_a_customer(
    new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends a transaction that is idle for too long. A migration then fails, and would again."""
    url, show = new_database(), text("SELECT current_setting('idle_in_transaction_session_timeout')::interval")
    allowed: list[timedelta] = []

    def look(connection: Connection, _: str) -> None:
        allowed.append(connection.execute(show).scalar_one())

    monkeypatch.setattr(migrating, "_upgrade", look)
    engine = create_engine(url)
    try:
        await migrate(engine)
        async with engine.connect() as connection:
            allowed.append((await connection.execute(show)).scalar_one())
    finally:
        await engine.dispose()
    assert allowed == [timedelta(minutes=1), timedelta(seconds=5)]


@pytest.mark.usefixtures("soon_given_up")
async def test_another_migrator_is_waited_for_longer_than_any_timeout_of_the_server(
    postgres_engine: AsyncEngine, new_database: Callable[[], str], open_engines: Callable[[str], AsyncEngine]
) -> None:
    engine = open_engines(new_database())
    lock = backend_of(engine).dialect.locks.migrating
    assert lock is not None
    async with engine.connect() as other:
        assert (await other.execute(lock)).scalar()
        waiting = asyncio.create_task(migrate(engine))
        await asyncio.wait([waiting], timeout=1.5)
        assert not waiting.done()
        assert await schema_problem(engine) == "there are no tables yet: run `holdfast migrate`"
        await other.invalidate()
    async with asyncio.timeout(60):
        assert await waiting == REVISIONS


@pytest.mark.usefixtures("soon_given_up")
async def test_tables_that_others_use_are_migrated_as_soon_as_they_can_be(
    postgres_engine: AsyncEngine,
    new_database: Callable[[], str],
    open_engines: Callable[[str], AsyncEngine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lock timeout, or a deadlock, ends one attempt of one revision, and not the migration."""
    monkeypatch.setattr(migrating, "_STATEMENT_TIMEOUT", 60.0)
    engine = open_engines(new_database())
    await migrate(engine, to=REVISIONS[0])
    # One after the other, so that each finds the tables of the ones before.
    for revision in REVISIONS[1:]:
        async with engine.connect() as user:
            tables = await user.run_sync(lambda sync: inspect(sync).get_table_names())
            await user.execute(text(f"LOCK TABLE {', '.join(tables)} IN ROW EXCLUSIVE MODE"))
            # A revision that only makes a table need not wait.
            waiting = asyncio.create_task(migrate(engine, to=revision))
            await asyncio.wait([waiting], timeout=0.5)
            await user.rollback()
        async with asyncio.timeout(60):
            assert await waiting == [revision]


async def test_a_deadlock_with_a_customer_is_survived(
    postgres_engine: AsyncEngine, new_database: Callable[[], str], open_engines: Callable[[str], AsyncEngine]
) -> None:
    """The revision locks the outbox first, and the payments later; the customer does it the other way round."""
    engine = open_engines(new_database())
    await migrate(engine, to="0004")
    async with engine.connect() as customer, engine.connect() as observer:
        await customer.execute(text("LOCK TABLE payments IN ROW EXCLUSIVE MODE"))
        waiting = asyncio.create_task(migrate(engine, to="0005"))
        async with asyncio.timeout(30):
            while not (await observer.execute(_WAITS_FOR_PAYMENTS)).scalar():  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.01)
        # It now holds the outbox. Which of the two is aborted, the server decides.
        await asyncio.gather(customer.execute(text("LOCK TABLE outbox IN ROW EXCLUSIVE MODE")), return_exceptions=True)
        await customer.rollback()
        async with asyncio.timeout(60):
            assert await waiting == ["0005"]


_WAITS_FOR_PAYMENTS = text(
    "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = to_regclass('payments')"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


async def test_whoever_never_lets_go_is_told_of(
    postgres_engine: AsyncEngine,
    new_database: Callable[[], str],
    open_engines: Callable[[str], AsyncEngine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(migrating, "_LOCK_TIMEOUT", 0.1)
    monkeypatch.setattr(migrating, "_TRIES_FOR", 0.5)
    engine = open_engines(new_database())
    await migrate(engine, to="0003")
    async with engine.connect() as user:
        await user.execute(text("LOCK TABLE payments IN ROW EXCLUSIVE MODE"))
        with pytest.raises(Aborted, match=r"applied 0004, and nothing of the next one: for 0.5 s others"):
            await migrate(engine)


async def test_on_sqlite_a_writer_is_waited_for_longer_than_the_busy_timeout(
    tmp_path: Path, open_engines: Callable[[str], AsyncEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "shop.db"
    engine = open_engines(f"sqlite:///{file}")
    await migrate(engine, to="0001")
    monkeypatch.setattr(migrating, "_STATEMENT_TIMEOUT", 0.1)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(migrate(engine))
        await asyncio.wait([waiting], timeout=1)
        assert not waiting.done()
        other.execute("ROLLBACK")
        async with asyncio.timeout(60):
            assert await waiting == REVISIONS[1:]


async def test_a_server_that_is_not_there_is_named(open_engines: Callable[[str], AsyncEngine]) -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1, database shop refuses connections") as caught:
        await migrate(open_engines("postgresql://ana:hidden@127.0.0.1:1/shop"))
    assert "hidden" not in str(caught.value)
