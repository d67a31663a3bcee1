import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

from application.errors import Trouble
from application.execution.one_database import KeepCachesToDatabase
from entrypoints.loops import repeat

# Seconds between two looks at the database: for about this long, entries from before a restore may be read after it.
_LOOK_EVERY: Final = 1.0
# Seconds that a start waits for the first look. Without a database it goes on with what is cached.
_FIRST_LOOK: Final = 3.0


@asynccontextmanager
async def caches_kept(keep: KeepCachesToDatabase) -> AsyncGenerator[None, None]:
    """Use no entry of a cache that comes from another database, or from this one before a restore."""
    stop, looked = asyncio.Event(), asyncio.Event()

    async def look() -> float:
        # Others report that the database is away. It may come back from a backup, so the pause stays short.
        with suppress(Trouble):
            await keep()
        looked.set()
        return _LOOK_EVERY

    looking = asyncio.create_task(repeat(look, stop, name="caches"))
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_LOOK):
                await looked.wait()
        yield
    finally:
        stop.set()
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
