import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

import structlog

from application.ports import Aborted, Unavailable

T = TypeVar("T")

_SHORTEST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0


async def until_first(work: Coroutine[Any, Any, T], stop: asyncio.Event) -> T | None:
    """The result of the work; None, and the work cancelled, when the stop comes first."""
    try:
        # The stop is a time limit that is set when it comes, so that the work needs no task of its own.
        async with asyncio.timeout(None) as limit:
            stopping = asyncio.ensure_future(_end(limit, stop))
            try:
                return await work
            finally:
                stopping.cancel()
    except TimeoutError:
        if not limit.expired():
            raise
        return None


async def _end(limit: asyncio.Timeout, stop: asyncio.Event) -> None:
    await stop.wait()
    limit.reschedule(asyncio.get_running_loop().time())


async def pause(seconds: float, stop: asyncio.Event) -> None:
    """Let some time pass, at most until the stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


async def repeat(step: Callable[[], Awaitable[float]], stop: asyncio.Event, *, name: str) -> None:
    """Take a step again and again until told to stop, with a pause of as many seconds as the step says.

    A step that has begun is finished. One that fails is logged and taken again, after pauses that grow.
    """
    log = structlog.get_logger(f"holdfast.{name}")
    failures = 0
    while not stop.is_set():
        try:
            seconds = await step()
            failures = 0
        except (Unavailable, Aborted) as error:
            seconds = _growing(failures)
            failures += 1
            log.warning("waiting for a server", reason=str(error), retry_in=seconds)
        except Exception:
            # Whatever it is, the work goes on when it has passed: a loop that died would leave orders waiting.
            seconds = _growing(failures)
            failures += 1
            log.exception("failed, and tries again", retry_in=seconds)
        if seconds:
            await pause(seconds, stop)


def _growing(failures: int) -> float:
    # The power is bounded as well: an outage of hours must not end in an overflow.
    return min(_SHORTEST_PAUSE * 2.0 ** min(failures, 10), _LONGEST_PAUSE)
