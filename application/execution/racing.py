import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from application.execution.concurrency import end

T = TypeVar("T")


async def first_to_succeed(
    attempts: Sequence[Callable[[], Awaitable[T]]], *, head_start: float, discard: Callable[[T], Awaitable[None]]
) -> T:
    """Return what the first successful attempt returns. Raise an `ExceptionGroup` of all errors if none succeeds.

    An attempt begins when the one before has failed, or after `head_start` seconds, beside it. So one that hangs costs
    little, and one that is quick has no other beside it. Results that come too late are discarded.
    """
    loop = asyncio.get_running_loop()
    left, running, errors = list(attempts), set[asyncio.Future[T]](), list[Exception]()
    try:
        while left or running:
            if left:
                running.add(loop.create_task(_awaited(left.pop(0))))
            done, running = await asyncio.wait(
                running, timeout=head_start if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            won = [task for task in done if task.exception() is None]
            running |= set(won[1:])
            if won:
                return won[0].result()
            errors += [error for task in done if isinstance(error := task.exception(), Exception)]
    finally:
        await end(running)
        for task in running:
            if not task.cancelled() and task.exception() is None:
                await discard(task.result())
    raise ExceptionGroup("no attempt has succeeded", errors)


async def _awaited(attempt: Callable[[], Awaitable[T]]) -> T:
    return await attempt()
