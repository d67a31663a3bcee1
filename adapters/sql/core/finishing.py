import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from sqlalchemy import Dialect

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


async def undisturbed(work: Coroutine[Any, Any, T], dialect: Dialect) -> T:
    """As `finish` on SQLite, whose statements are short, and nothing more elsewhere.

    A SQLite connection that is closed in the middle of a statement lives on, locks included, for as long as anything
    refers to its cursor, and a traceback is enough. A server would have rolled back.
    """
    return await (finish(work) if dialect.name == "sqlite" else work)
