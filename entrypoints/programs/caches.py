import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from application.errors import Trouble
from application.execution.one_database import KeepCachesToDatabase
from application.ports.caching import CacheFence
from entrypoints.loops import repeat

# Seconds between two looks at the database: for about this long, entries from before a restore may be read after it.
_LOOK_AT_MARK_EVERY: Final = 1.0
# Seconds that a start waits for the first look. Without a database it goes on with what is cached.
_FIRST_LOOK: Final = 3.0
# Seconds between two looks at the fence. Who raises it waits for more than twice as long.
_LOOK_AT_FENCE_EVERY: Final = 0.2


@asynccontextmanager
async def caches_kept(keep: KeepCachesToDatabase) -> AsyncGenerator[None, None]:
    """Use no entry of a cache that comes from another database, or from this one before a restore."""
    looked = asyncio.Event()

    async def look() -> None:
        # Others report that the database is away. It may come back from a backup, so the pause stays short.
        with suppress(Trouble):
            await keep()
        looked.set()

    async with _repeated(look, _LOOK_AT_MARK_EVERY):
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_LOOK):
                await looked.wait()
        yield


@asynccontextmanager
async def fence_watched(fence: CacheFence) -> AsyncGenerator[None, None]:
    """Stop reading in the shared caches while another process can't invalidate there, and tell others of this one."""
    async with _repeated(fence.look, _LOOK_AT_FENCE_EVERY):
        yield


@asynccontextmanager
async def _repeated(look: Callable[[], Awaitable[None]], seconds: float) -> AsyncGenerator[None, None]:
    stop = asyncio.Event()

    async def step() -> float:
        await look()
        return seconds

    looking = asyncio.create_task(repeat(step, stop, name="caches"))
    try:
        yield
    finally:
        stop.set()
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
