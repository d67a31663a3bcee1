from collections.abc import Callable
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.connecting import connected
from adapters.sql.core.engine import backend_of, create_engine
from adapters.sql.core.finishing import finish, undisturbed
from application.errors import Unavailable

_FOLDER: Final = Path(__file__).parent / "migrations"
_STATEMENT_TIMEOUT: Final = 600.0


async def migrate(engine: AsyncEngine) -> list[str]:
    """Bring the tables to what this version needs, and say which revisions that took: none when they were there.

    It is one transaction: all of it happens or nothing, and a second migrator waits for the first. Raise `Unavailable`
    or `Aborted`.
    """
    # Nobody waits for an answer here, and some migrations take long.
    patient = create_engine(
        engine.url.render_as_string(hide_password=False), pool_size=1, statement_timeout=_STATEMENT_TIMEOUT
    )
    try:
        return await undisturbed(_migrate(patient), backend_of(engine))
    finally:
        await finish(patient.dispose())


async def _migrate(engine: AsyncEngine) -> list[str]:
    async with connected(engine) as connection:
        wait_for_others = backend_of(engine).dialect.locks.migrating
        # Without it, to begin is enough.
        if wait_for_others is not None:
            await connection.execute(wait_for_others)
        applied = await connection.run_sync(_upgrade)
        await connection.commit()
    return applied


def _upgrade(connection: Connection) -> list[str]:
    applied: list[str] = []
    try:
        command.upgrade(_config(connection, lambda step, **_: applied.append(step.up_revision_id)), "head")
    except CommandError as error:
        raise Unavailable(f"the tables can't be migrated, are they a newer version's? {error}") from error
    return applied


def _config(connection: Connection, on_version_apply: Callable[..., None]) -> Config:
    config = Config(attributes={"connection": connection, "on_version_apply": on_version_apply})
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config
