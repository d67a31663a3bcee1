import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import structlog
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, event, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.sql.core.connecting import connected
from adapters.sql.core.engine import backend_of, create_engine
from adapters.sql.core.finishing import finish, undisturbed
from adapters.sql.dialects.base import SqlDialect
from adapters.sql.schema import current_revision, revisions
from application.errors import Aborted, Unavailable

_log = structlog.get_logger("holdfast.migrate")

_FOLDER: Final = Path(__file__).parent / "migrations"
# Seconds. Nobody waits for an answer here, and some steps take long.
_STATEMENT_TIMEOUT: Final = 3600.0
# Everybody who needs the table waits behind a step that waits for it. So a step gives up soon, and is tried again.
_LOCK_TIMEOUT: Final = 1.0
_SHORTEST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
# After so many seconds of attempts, the tables are taken to be locked by somebody who will not let go.
_TRIES_FOR: Final = 300.0
# Between two looks whether another migrator is done.
_LOOK_EVERY: Final = 0.2


async def migrate(engine: AsyncEngine, *, to: str | None = None) -> list[str]:
    """Bring the tables to what this version needs, or to the revision `to`. Return the revisions that were applied.

    Each revision is one transaction. One that is rolled back, because others use the tables, is tried again. A second
    migrator waits for the first, however long that takes. Raise `Unavailable` or `Aborted`.
    """
    patient = create_engine(
        backend_of(engine).url,
        pool_size=2,
        statement_timeout=_STATEMENT_TIMEOUT,
        lock_timeout=_LOCK_TIMEOUT,
    )
    _suspend_foreign_keys(patient)
    try:
        async with _alone(patient):
            return await _migrate(patient, to or revisions()[-1])
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
async def _alone(engine: AsyncEngine) -> AsyncGenerator[None, None]:
    """Wait until no other migrator is at work, and keep others waiting."""
    locks = backend_of(engine).dialect.locks
    if locks.migrating is None:
        # Each step is alone, as any transaction is. It looks for itself which revision it finds.
        yield
        return
    async with connected(engine) as connection:
        # In no transaction, which the server would end for being idle. The lock ends with the connection.
        autocommit = await connection.execution_options(isolation_level="AUTOCOMMIT")
        waits = False
        # Not a statement that waits: every timeout of the server would cut it.
        while not (await autocommit.execute(locks.migrating)).scalar():
            if not waits:
                _log.info("another migrator is at work; waiting for it")
                waits = True
            await asyncio.sleep(_LOOK_EVERY)
        try:
            yield
        finally:
            await finish(connection.invalidate())


async def _migrate(engine: AsyncEngine, target: str) -> list[str]:
    applied: list[str] = []
    give_up_at = time.monotonic() + _TRIES_FOR
    pause = _SHORTEST_PAUSE
    while True:
        try:
            step = await undisturbed(_apply_next(engine, target), backend_of(engine))
        except Aborted as error:
            if time.monotonic() > give_up_at:
                raise Aborted(_gave_up(applied, error)) from error
            _log.info("others use the tables; trying again", reason=str(error), retry_in=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            continue
        if step is None:
            return applied
        applied.append(step)
        give_up_at, pause = time.monotonic() + _TRIES_FOR, _SHORTEST_PAUSE


def _gave_up(applied: list[str], error: Aborted) -> str:
    done = f"applied {', '.join(applied)}, and nothing of the next one" if applied else "nothing was applied"
    return f"{done}: for {_TRIES_FOR:g} s others used the tables ({error}); stop them, and run this again"


async def _apply_next(engine: AsyncEngine, target: str) -> str | None:
    """Apply the revision after the one that is found, in one transaction. None: the target is reached."""
    async with connected(engine) as connection:
        step = await connection.run_sync(_upgrade, target)
        await _expect_whole(connection, backend_of(engine).dialect)
        await connection.commit()
    return step


async def _expect_whole(connection: AsyncConnection, dialect: SqlDialect) -> None:
    """Raise before the commit if the step has broken a foreign key while these were not checked."""
    if dialect.suspend_foreign_keys is not None:
        broken = (await connection.execute(text(dialect.suspend_foreign_keys[1]))).all()
        if broken:
            raise RuntimeError(f"the migration would leave {len(broken)} rows that refer to nothing, as {broken[0]}")


def _upgrade(connection: Connection, target: str) -> str | None:
    known, found = revisions(), current_revision(connection)
    if found is not None and found not in known:
        raise Unavailable(
            f"the tables can't be migrated: they are at revision {found}, which this version doesn't know. Are they a"
            " newer version's?"
        )
    if found is not None and found >= target:
        return None
    step = known[0] if found is None else known[known.index(found) + 1]
    try:
        command.upgrade(_config(connection), step)
    except CommandError as error:
        raise Unavailable(f"the tables can't be migrated: {error}") from error
    return step


def _config(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config
