import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import TypeVar

from application.errors import Unavailable

T = TypeVar("T")
R = TypeVar("R")


async def at_most(limit: int, work: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """Do the work for all items, at most `limit` at a time. The results are in the order of the items.

    If one raises, or the caller is cancelled, the others are cancelled, and this call raises when all have ended: the
    caller may repeat the work at once, and none of it may still run beside the repetition.
    """
    permits = asyncio.Semaphore(limit)

    async def permitted(item: T) -> R:
        async with permits:
            return await work(item)

    tasks = [asyncio.ensure_future(permitted(item)) for item in items]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await end(tasks)


def until_unavailable(work: Callable[[T], Awaitable[R]]) -> Callable[[T], Awaitable[R]]:
    """The same work, for one batch: once it has raised `Unavailable`, calls that have not begun raise the same error.

    Asking a server that is gone once more for each call takes long, and tells nothing new.
    """
    gone: Unavailable | None = None

    async def unless_gone(item: T) -> R:
        nonlocal gone
        if gone is not None:
            raise gone
        try:
            return await work(item)
        except Unavailable as error:
            gone = error
            raise

    return unless_gone


async def end(tasks: Collection["asyncio.Future[R]"]) -> None:
    """Cancel what still runs, and wait for it, also while being cancelled again."""
    cancelled: asyncio.CancelledError | None = None
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in tasks:
        # Nobody will ask for its error, which must not be logged as one that was missed.
        _ = task.cancelled() or task.exception()
    if cancelled is not None:
        raise cancelled
