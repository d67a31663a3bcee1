import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

from adapters.sql.cache_fence import SETTLE
from application.errors import Trouble
from application.execution.one_database import KeepCachesToDatabase
from application.ports.caching import CacheFence
from entrypoints.loops import pause, repeated

# Seconds between two looks at the database: for about this long, entries from before a restore may be read after it.
_LOOK_AT_MARK_EVERY: Final = 1.0
# Seconds that a start waits for the first look. Without a database it goes on with what is cached.
_FIRST_LOOK: Final = 3.0
# Seconds between two looks at the fence: a process that raises it waits until all have looked, the slow ones, too.
_LOOK_AT_FENCE_EVERY: Final = SETTLE / 2.5


@asynccontextmanager
async def caches_kept(keep: KeepCachesToDatabase) -> AsyncGenerator[None, None]:
    """Use no entry of a cache that comes from another database, or from this one before a restore."""
    looked = asyncio.Event()

    async def look() -> float:
        # Others report that the database is away. It may come back from a backup, so the pause stays short.
        with suppress(Trouble):
            await keep()
        looked.set()
        return _LOOK_AT_MARK_EVERY

    async with repeated(look, name="caches"):
        await pause(_FIRST_LOOK, looked)
        yield


@asynccontextmanager
async def fence_watched(fence: CacheFence) -> AsyncGenerator[None, None]:
    """Stop reading in the shared caches while another process can't invalidate there, and tell others of this one."""

    async def look() -> float:
        await fence.look()
        return _LOOK_AT_FENCE_EVERY

    async with repeated(look, name="caches"):
        yield
