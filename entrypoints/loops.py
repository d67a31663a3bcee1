import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Self, TypeVar

import structlog
from attrs import define, field

from application.errors import Trouble

T = TypeVar("T")

_SHORTEST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0


class Stop(asyncio.Event):
    """Tells a program to stop, and ends what waits meanwhile for something else."""

    def __init__(self) -> None:
        super().__init__()
        # In the order in which they came.
        self._limits: dict[asyncio.Timeout, None] = {}

    def set(self) -> None:
        if not self.is_set():
            super().set()
            for limit in self._limits:
                limit.reschedule(asyncio.get_running_loop().time())

    async def until_first(self, work: Awaitable[T]) -> T | None:
        """The result of the work; None, and the work cancelled, when the stop comes first."""
        try:
            # The stop is a time limit that is set when it comes: neither it nor the work needs a task of its own.
            async with asyncio.timeout(0 if self.is_set() else None) as limit:
                self._limits[limit] = None
                try:
                    return await work
                finally:
                    del self._limits[limit]
        except TimeoutError:
            if not limit.expired():
                raise
            return None


async def pause(seconds: float, stop: asyncio.Event) -> None:
    """Let some time pass, at most until the stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


@define(eq=False)
class Turn:
    """A block that is alone under its lock until it is left, or until its turn has ended by itself."""

    _lock: asyncio.Lock
    _end: asyncio.TimerHandle | None = field(default=None, init=False)
    _is_ours: bool = field(default=False, init=False)

    def end_after(self, seconds: float) -> None:
        self._end = asyncio.get_running_loop().call_later(seconds, self._give_up)

    async def __aenter__(self) -> Self:
        await self._lock.acquire()
        self._is_ours = True
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._end is not None:
            self._end.cancel()
        self._give_up()

    def _give_up(self) -> None:
        if self._is_ours:
            self._is_ours = False
            self._lock.release()


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
        except Trouble as error:
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
