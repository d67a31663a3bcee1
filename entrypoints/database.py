"""Opens the database, which every program and nearly every command needs first."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.engine import LOCK_TIMEOUT, STATEMENT_TIMEOUT, create_engine, sqlite_url
from adapters.sqlite_file import tables_in
from entrypoints.errors import CannotGoOn
from entrypoints.settings import InvalidSettings, Settings


class NotReady(CannotGoOn):
    """A program can't start; the message says what to do first."""


# The graceful-close timeout of the database's connections, in seconds.
_CLOSE_TIMEOUT: Final = 2.0


@asynccontextmanager
async def open_engine(
    settings: Settings,
    *,
    new: bool = False,
    lock_timeout: float = LOCK_TIMEOUT,
    statement_timeout: float = STATEMENT_TIMEOUT,
    pool_size: int | None = None,
) -> AsyncGenerator[AsyncEngine, None]:
    """Open the engine, which connects when it is first used. Raise `InvalidSettings` or `NotReady`.

    With `new`, folder and file are made if there is none. Otherwise nothing is made.
    """
    if not settings.database_url:
        if new:
            make_folder(settings.data)
            make_folder(settings.database_file.parent)
        else:
            _expect_shop(settings)
        _expect_no_stranger(settings.database_file)
    try:
        engine = create_engine(
            settings.database_url or sqlite_url(settings.database_file),
            pool_size=pool_size or settings.pool_size,
            lock_timeout=lock_timeout,
            statement_timeout=statement_timeout,
        )
    except ValueError as error:
        raise InvalidSettings(f"DATABASE_URL: {error}") from None
    try:
        yield engine
    finally:
        # A server that no longer answers would never confirm the close.
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await engine.dispose()


_OTHER: Final = "name another folder with --data, or another file with DATABASE_URL"


def _expect_shop(settings: Settings) -> None:
    file = settings.database_file
    try:
        # SQLite would make a database of an empty file.
        is_there = file.stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        is_there = False
    except OSError as error:
        raise NotReady(f"{file} can't be reached: {error.strerror}; {_OTHER}") from None
    if not is_there:
        raise NotReady(
            f"there is no shop in {file if settings.sqlite_file else settings.data} yet: run `holdfast migrate`, or"
            f" `holdfast up`, or {_OTHER}"
        )


# Some of our tables, and since the first release.
_OURS: Final = frozenset({"orders", "order_events", "outbox"})


def _expect_no_stranger(file: Path) -> None:
    """Refuse the database of another program before anything in it is changed. Raise `NotReady`."""
    tables = tables_in(file)
    if tables and not tables >= _OURS:
        found = ", ".join(sorted(tables)[:5])
        raise NotReady(f"{file} is the database of another program, which has the tables {found}; {_OTHER}")


def make_folder(folder: Path) -> None:
    """Raise `NotReady`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotReady(f"{folder} can't be the data folder: {error.strerror}; name another one with --data") from None
