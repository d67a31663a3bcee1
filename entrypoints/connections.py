"""Connections that are opened when a program starts, and closed in the opposite order when it ends."""

import fcntl
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from adapters.memory.signal import MemoryOutboxSignal
from adapters.sql.core.engine import LOCK_TIMEOUT, STATEMENT_TIMEOUT
from adapters.sql.signal import open_outbox_signal
from entrypoints.broker import open_broker
from entrypoints.container import Container
from entrypoints.database import NotReady, make_folder, open_engine
from entrypoints.payment_providers import open_provider
from entrypoints.settings import DATABASE_FILE, InvalidSettings, Settings

# Modules that only servers need are imported where they are used, so that a command without servers starts faster.


@asynccontextmanager
async def open_container(
    settings: Settings,
    *,
    new: bool = False,
    lock_timeout: float = LOCK_TIMEOUT,
    statement_timeout: float = STATEMENT_TIMEOUT,
    program: str | None = None,
) -> AsyncGenerator[Container, None]:
    """Everything that a program may use. With `new`, missing files are made. A `program` is traced under its name.

    Redis is connected at once, other servers when they are first used.
    """
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(
            open_engine(settings, new=new, lock_timeout=lock_timeout, statement_timeout=statement_timeout)
        )
        signal = open_outbox_signal(engine, in_process=MemoryOutboxSignal())
        redis = None
        if settings.redis_url:
            from adapters.redis.client import BadAddress, open_redis  # noqa: PLC0415

            try:
                timeout = settings.redis_timeout.total_seconds()
                redis = await stack.enter_async_context(open_redis(settings.redis_url, timeout=timeout))
            except BadAddress as error:
                raise InvalidSettings(f"REDIS_URL: {error}") from None
        tracer = None
        if program is not None:
            from entrypoints.traces import open_tracer  # noqa: PLC0415

            tracer = await stack.enter_async_context(open_tracer(settings, program))
        yield Container(
            tracer=tracer,
            settings=settings,
            engine=engine,
            outbox_signal=await stack.enter_async_context(signal),
            redis=redis,
            broker=await stack.enter_async_context(open_broker(settings)),
            provider=await stack.enter_async_context(open_provider(settings, new=new)),
        )


@contextmanager
def only_one(settings: Settings) -> Generator[None, None, None]:
    """Lock the data folder and its SQLite file for this process. Raise `NotReady`.

    Its caches would miss another process's writes. The locks end with the process, however it ends.
    """
    with ExitStack() as stack:
        make_folder(settings.data)
        used = {(settings.data / "lock").resolve(): settings.data}
        if settings.sqlite_file is not None:
            # It may be in the data folder of another process, and it may be named in several ways.
            file = settings.sqlite_file.resolve()
            used[file.with_name("lock" if file.name == DATABASE_FILE else f"{file.name}-lock")] = file
        for lock, what in used.items():
            stack.enter_context(_locked(lock, what))
        yield


@contextmanager
def _locked(file: Path, what: Path) -> Generator[None, None, None]:
    make_folder(file.parent)
    try:
        lock = file.open("w")
    except OSError as error:
        raise NotReady(f"{file} can't be written: {error.strerror}; name another folder with --data") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotReady(
                f"another `holdfast up` uses {what}: stop that one, or name another folder with --data"
            ) from None
        yield
