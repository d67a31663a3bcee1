"""What is opened when a program starts, and closed when it ends, in the opposite order."""

import asyncio
import fcntl
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.memory.signal import MemoryOutboxSignal
from adapters.sql.core.engine import LOCK_TIMEOUT, create_engine, sqlite_url
from adapters.sql.signal import open_outbox_signal
from entrypoints.broker import open_broker
from entrypoints.container import Container
from entrypoints.payment_providers import open_provider
from entrypoints.settings import InvalidSettings, Settings


class NotReady(Exception):
    """A program can't start; the message says what to do first."""


# Seconds that the database has to close its connections in good order.
_CLOSE_TIMEOUT: Final = 2.0


@asynccontextmanager
async def open_container(settings: Settings, *, lock_timeout: float = LOCK_TIMEOUT) -> AsyncGenerator[Container, None]:
    """Everything that a program may use. Servers are connected to when they are first asked, Redis at once."""
    async with AsyncExitStack() as stack:
        if not settings.database_url:
            make_folder(settings.data)
        engine = _engine(settings, lock_timeout)
        stack.push_async_callback(_dispose, engine)
        signal = open_outbox_signal(engine) if settings.database_url else None
        yield Container(
            settings=settings,
            engine=engine,
            outbox_signal=await stack.enter_async_context(signal) if signal else MemoryOutboxSignal(),
            redis=await _redis(stack, settings.redis_url) if settings.redis_url else None,
            broker=await stack.enter_async_context(open_broker(settings)),
            provider=await stack.enter_async_context(open_provider(settings)),
        )


def _engine(settings: Settings, lock_timeout: float) -> AsyncEngine:
    try:
        return create_engine(
            settings.database_url or sqlite_url(settings.database_file),
            pool_size=settings.pool_size,
            lock_timeout=lock_timeout,
        )
    except ValueError as error:
        raise InvalidSettings(f"DATABASE_URL: {error}") from None


async def _redis(stack: AsyncExitStack, url: str) -> object:
    from adapters.redis.client import open_redis  # noqa: PLC0415 - as in the container

    return await stack.enter_async_context(open_redis(url))


async def _dispose(engine: AsyncEngine) -> None:
    # A server that has fallen silent would never hear that its connections are closed.
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await engine.dispose()


def make_folder(folder: Path) -> None:
    """Raise `NotReady`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotReady(f"{folder} can't be the data folder: {error.strerror}; name another one with --data") from None


@contextmanager
def only_one(settings: Settings) -> Generator[None, None, None]:
    """Keep the data folder for this process, whose caches know nothing of what another writes. Raise `NotReady`.

    The lock ends with the process, however it ends.
    """
    make_folder(settings.data)
    with (settings.data / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotReady(
                f"another `holdfast up` uses {settings.data}: stop that one, or name another folder with --data"
            ) from None
        yield
