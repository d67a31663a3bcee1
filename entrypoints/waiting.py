import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

import structlog

from application.ports import Aborted, Unavailable

T = TypeVar("T")

_SHORTEST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0


async def until_first(work: Coroutine[Any, Any, T], stop: asyncio.Event) -> T | None:
    """The result of the work; None, and the work cancelled, when the stop comes first."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


async def repeat(step: Callable[[], Awaitable[float]], stop: asyncio.Event, *, name: str) -> None:
    """Take a step again and again until told to stop, with a pause of as many seconds as the step says.

    A step that has begun is finished. One that fails is logged and taken again, after pauses that grow.
    """
    log = structlog.get_logger(f"holdfast.{name}")
    failures = 0
    while not stop.is_set():
        try:
            pause = await step()
            failures = 0
        except (Unavailable, Aborted) as error:
            pause = _growing(failures)
            failures += 1
            log.warning("waiting for a server", reason=str(error), retry_in=pause)
        except Exception:
            # Whatever it is, the work goes on when it has passed: a loop that died would leave orders waiting.
            pause = _growing(failures)
            failures += 1
            log.exception("failed, and tries again", retry_in=pause)
        if pause:
            await until_first(asyncio.sleep(pause), stop)


def _growing(failures: int) -> float:
    # The power is bounded as well: an outage of hours must not end in an overflow.
    return min(_SHORTEST_PAUSE * 2.0 ** min(failures, 10), _LONGEST_PAUSE)
