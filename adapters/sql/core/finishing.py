import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from adapters.sql.core.engine import Backend

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Await something that must not be left half done.

    When the waiting task is cancelled meanwhile, it is cancelled after the work has ended. Without this a cancelled
    request would leave its connection in the middle of a transaction, or not know whether it has committed.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        # Asked for, so that asyncio doesn't report it as never seen: the cancellation is what the caller hears of.
        task.exception()
    raise cancelled


async def undisturbed(work: Coroutine[Any, Any, T], backend: Backend) -> T:
    """As `finish` where a statement would live on without the task that asked for it, and nothing more elsewhere."""
    return await (finish(work) if backend.dialect.connections.outlive_a_cancellation else work)
