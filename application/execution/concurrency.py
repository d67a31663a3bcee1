import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def at_most(limit: int, work: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """Do the work for all items, at most `limit` at a time. The results are in the order of the items."""
    permits = asyncio.Semaphore(limit)

    async def permitted(item: T) -> R:
        async with permits:
            return await work(item)

    return await asyncio.gather(*map(permitted, items))
