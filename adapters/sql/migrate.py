"""Brings the tables to what this release needs, in two halves.

`expand` adds what this release needs, and takes nothing away, so that the release before goes on beside it. `contract`
takes away what only earlier releases need, when none of them is at work any more. `migrate` does both.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import structlog
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.util import CommandError
from attrs import evolve
from sqlalchemy import Connection, Row, event, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.connecting import connected
from adapters.sql.core.engine import backend_of, create_engine
from adapters.sql.core.finishing import finish
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.health import unsafe_settings
from adapters.sql.migrations.files import module_of, scripts
from adapters.sql.migrator import Migrator, Progress, tell_nothing
from adapters.sql.revisions import newest, revisions
from adapters.sql.schema import Schema, schema_of
from adapters.sql.tables import metadata
from application.errors import Aborted, Misconfigured, Unavailable

T = TypeVar("T")

_log = structlog.get_logger("holdfast.migrate")

# Seconds. Nobody waits for an answer here, and some steps take long.
_STATEMENT_TIMEOUT: Final = 3600.0
# Everybody who needs the table waits behind a step that waits for it. So a step gives up soon, and is tried again.
_LOCK_TIMEOUT: Final = 0.2
# After so many seconds of attempts, the tables are taken to be locked by somebody who will not let go.
_TRIES_FOR: Final = 300.0
# Between two looks whether another migrator is done.
_LOOK_EVERY: Final = 0.2
# Older sessions that are named one by one.
_NAMED: Final = 8

_SERVE: Final = text("UPDATE schema_window SET serves = :serves")
_CONTRACTED: Final = text("UPDATE schema_window SET contracted = :contracted")


class OlderSessions(Unavailable):
    """Earlier releases are at work, which need what would be taken away."""


class NoRollout(Unavailable):
    """The database has one process at a time, so no release works beside another."""


async def migrate(engine: AsyncEngine, *, to: str | None = None, progress: Progress = tell_nothing) -> list[str]:
    """Bring the tables to what this release needs, or to the revision `to`. Return the revisions that were applied.

    Each revision is one transaction. One that is rolled back, because others use the tables, is tried again. A second
    migrator waits for the first, however long that takes. Raise `Unavailable` or `Aborted`; and `OlderSessions` if all
    was added, and nothing taken away yet.
    """
    target = to or newest()
    async with _migrating(engine, progress) as migrator:
        applied = await _expand(migrator, target)
        try:
            await _contract(migrator, target)
        except OlderSessions as error:
            raise OlderSessions(f"applied {', '.join(applied)}; {error}" if applied else str(error)) from error
    return applied


async def expand(engine: AsyncEngine, *, progress: Progress = tell_nothing) -> list[str]:
    """The first half, before a rollout. Return the revisions that were applied. Raise as `migrate` does."""
    _expect_several(engine)
    async with _migrating(engine, progress) as migrator:
        return await _expand(migrator, newest())


async def contract(engine: AsyncEngine, *, progress: Progress = tell_nothing) -> list[str]:
    """The second half, after a rollout. Return the revisions of which something was taken away. Raise as `migrate`."""
    _expect_several(engine)
    async with _migrating(engine, progress) as migrator:
        found = await migrator.in_transaction(schema_of)
        if (problem := found.problem()) is not None:
            raise Unavailable(problem)
        return await _contract(migrator, newest())


def _expect_several(engine: AsyncEngine) -> None:
    dialect = backend_of(engine).dialect
    if dialect.connections.one_writer:
        raise NoRollout(
            f"{dialect.name} has one process at a time, so no release works beside another: stop it, and run"
            " `holdfast migrate`"
        )


@asynccontextmanager
async def _migrating(engine: AsyncEngine, progress: Progress) -> AsyncGenerator[Migrator, None]:
    patient = create_engine(
        backend_of(engine).url,
        pool_size=2,
        statement_timeout=_STATEMENT_TIMEOUT,
        lock_timeout=_LOCK_TIMEOUT,
    )
    _suspend_foreign_keys(patient)
    migrator = Migrator(engine=patient, tries_for=_TRIES_FOR, progress=progress)
    try:
        async with _alone(migrator):
            yield migrator
    finally:
        await finish(patient.dispose())


def _suspend_foreign_keys(engine: AsyncEngine) -> None:
    statements = backend_of(engine).dialect.suspend_foreign_keys
    if statements is not None:

        @event.listens_for(engine.sync_engine, "connect")
        def suspend(connection: Any, _record: Any) -> None:
            cursor = connection.cursor()
            cursor.execute(statements[0])
            cursor.close()


@asynccontextmanager
async def _alone(migrator: Migrator) -> AsyncGenerator[None, None]:
    """Wait until no other migrator is at work, and keep others waiting."""
    migrating = migrator.dialect.locks.migrating
    if migrating is None:
        # Each step is alone, as any transaction is. It looks for itself which revision it finds.
        yield
        return
    # In no transaction, which the server would end for being idle. The lock ends with the connection.
    async with migrator.autocommit() as connection:
        waits = False
        # Not a statement that waits: every timeout of the server would cut it.
        while not (await connection.execute(migrating)).scalar():
            if not waits:
                _log.info("another migrator is at work; waiting for it")
                waits = True
            await asyncio.sleep(_LOOK_EVERY)
        yield


async def _expand(migrator: Migrator, target: str) -> list[str]:
    applied: list[str] = []
    found = await migrator.in_transaction(schema_of)
    if found.revision is None:
        await _expect_every_character(migrator.engine)
    while True:
        if (due := _next(found, target)) is not None:
            await _steps(migrator, due, "before_upgrade")
        try:
            step = await migrator.in_transaction(
                _whole(migrator.dialect, lambda connection: _upgrade(connection, target))
            )
        except Aborted as error:
            raise Aborted(_gave_up(applied, error)) from error
        if step is None:
            return applied
        applied.append(step)
        found = evolve(found, revision=step)


async def _expect_every_character(engine: AsyncEngine) -> None:
    """Make no tables where some names could not be stored. A shop that has lived with that goes on."""
    if (harm := (await unsafe_settings(engine)).get("server_encoding")) is not None:
        raise Misconfigured(f"no tables are made here, since {harm}")


def _next(found: Schema, target: str) -> str | None:
    """The revision that is to be applied. None: the target is reached, or a later release's tables serve this one."""
    known = revisions()
    if found.revision is None:
        return known[0]
    if found.is_newer and (closed := found.closed()) is not None:
        raise Unavailable(f"the tables can't be migrated: they are at revision {found.revision}; {closed}")
    if found.revision >= target:
        return None
    return known[known.index(found.revision) + 1]


def _gave_up(applied: list[str], error: Aborted) -> str:
    done = f"applied {', '.join(applied)}, and nothing of the next one" if applied else "nothing was applied"
    return f"{done}: for {_TRIES_FOR:g} s others used the tables ({error}); stop them, and run this again"


def _whole(dialect: SqlDialect, change: Callable[[Connection], T]) -> Callable[[Connection], T]:
    """A change of the tables as the work of a transaction, which may be done several times."""
    was_in_the_way = False

    def work(connection: Connection) -> T:
        nonlocal was_in_the_way
        if was_in_the_way:
            _keep_vacuum_out(connection, dialect)
        was_in_the_way = True
        result = change(connection)
        _expect_whole(connection, dialect)
        return result

    return work


def _keep_vacuum_out(connection: Connection, dialect: SqlDialect) -> None:
    there = set(inspect(connection).get_table_names())
    for statement in dialect.locks.without_vacuum([name for name in metadata.tables if name in there]):
        connection.exec_driver_sql(statement)


def _expect_whole(connection: Connection, dialect: SqlDialect) -> None:
    """Raise before the commit if the step has broken a foreign key while these were not checked."""
    if dialect.suspend_foreign_keys is not None:
        broken = connection.execute(text(dialect.suspend_foreign_keys[1])).all()
        if broken:
            raise RuntimeError(f"the migration would leave {len(broken)} rows that refer to nothing, as {broken[0]}")


def _upgrade(connection: Connection, target: str) -> str | None:
    """Apply the revision after the one that is found. None: the target is reached."""
    step = _next(schema_of(connection), target)
    if step is None:
        return None
    known = scripts()
    revision = MigrationStep.upgrade_from_script(known.revision_map, known.get_revision(step))
    environment = EnvironmentContext(
        Config(attributes={"connection": connection}), known, fn=lambda _found, _context: [revision]
    )
    try:
        with environment:
            known.run_env()
    except CommandError as error:
        raise Unavailable(f"the tables can't be migrated: {error}") from error
    return step


async def _steps(migrator: Migrator, revision: str, name: str) -> None:
    """What a revision does outside of its transaction, before it: `migrations/steps.py`."""
    for step in getattr(module_of(revision), name, ()):
        await step(migrator)


async def _contract(migrator: Migrator, target: str) -> list[str]:
    found = await migrator.in_transaction(schema_of)
    if found.contracted is None or found.serves is None:
        return []
    pending = [
        each for each in revisions() if found.contracted < each <= target and hasattr(module_of(each), "contract")
    ]
    if not pending:
        return []
    await _close_window(migrator, found.serves, pending[-1])
    for revision in pending:
        await _steps(migrator, revision, "before_contract")
        await migrator.in_transaction(_whole(migrator.dialect, _contraction(revision)))
    return pending


def _contraction(revision: str) -> Callable[[Connection], None]:
    contract_it = module_of(revision).contract

    def work(connection: Connection) -> None:
        # Where migrators don't keep each other out, another one may have done it meanwhile.
        if (schema_of(connection).contracted or "") < revision:
            with Operations.context(MigrationContext.configure(connection)):
                contract_it()
            connection.execute(_CONTRACTED, {"contracted": revision})

    return work


async def _close_window(migrator: Migrator, served: str, revision: str) -> None:
    """Serve no release before this revision any more. Raise `OlderSessions`.

    The window is closed before the second look: a process that starts meanwhile has either been seen by it, or has seen
    the closed window.
    """
    _refuse(await _older(migrator, revision), revision)
    if served >= revision:
        return
    await migrator.in_transaction(_serving(revision))
    if late := await _older(migrator, revision):
        await migrator.in_transaction(_serving(served))
        _refuse(late, revision)


def _serving(revision: str) -> Callable[[Connection], None]:
    def work(connection: Connection) -> None:
        connection.execute(_SERVE, {"serves": revision})

    return work


async def _older(migrator: Migrator, revision: str) -> Sequence[Row[Any]]:
    if migrator.dialect.sessions is None:
        return []
    async with connected(migrator.engine, reading=True) as connection:
        rows = (await connection.execute(text(migrator.dialect.sessions))).all()
    return [row for row in rows if row.revision < revision]


def _refuse(older: Sequence[Row[Any]], revision: str) -> None:
    if not older:
        return
    named = sorted({f"{each.name} at {each.place}" if each.place else str(each.name) for each in older})
    more = f", and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    raise OlderSessions(
        f"nothing was taken away: {len(older)} sessions are of releases before revision {revision}, which still need"
        f" it: {', '.join(named[:_NAMED])}{more}. Stop these processes, and run `holdfast migrate --contract`"
    )
