import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from adapters.sql.core.engine import Backend

T = TypeVar("T")


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Await work that must not be interrupted, and return its result.

    If the waiting task is cancelled, the cancellation is delayed until the work has ended. Otherwise a cancelled
    request would leave its connection in the middle of a transaction, or would not know whether it has committed.
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
        # The caller gets the cancellation. Retrieving the error keeps asyncio from logging it as never retrieved.
        task.exception()
    raise cancelled


async def undisturbed(work: Coroutine[Any, Any, T], backend: Backend) -> T:
    """Await the work; as `finish` does, if a statement of this database would go on after a cancellation."""
    return await (finish(work) if backend.dialect.connections.outlive_a_cancellation else work)
