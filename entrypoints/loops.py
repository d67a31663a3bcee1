import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Self, TypeVar

from attrs import define, field

from application.errors import Misconfigured, Trouble

T = TypeVar("T")

_SHORTEST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0


class Stop(asyncio.Event):
    """Tells a program to stop, and cancels what waits in `until_first`."""

    def __init__(self) -> None:
        super().__init__()
        # In the order of arrival.
        self._limits: dict[asyncio.Timeout, None] = {}

    def set(self) -> None:
        if not self.is_set():
            super().set()
            for limit in self._limits:
                limit.reschedule(asyncio.get_running_loop().time())

    async def until_first(self, work: Awaitable[T]) -> T | None:
        """The result of the work. If the stop comes first, cancel the work and return None."""
        try:
            # The stop reschedules this timeout to now, so that neither the stop nor the work needs a task of its own.
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


async def pause(seconds: float, end: asyncio.Event) -> None:
    """Sleep for some seconds, or until the event is set."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await end.wait()


@define(eq=False)
class Turn:
    """A block that holds a lock until it ends, or until `end_after` releases the lock earlier."""

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
    """Repeat a step until the stop, with pauses of as many seconds as the step returns.

    A step that has begun is finished. One that fails is logged and retried with backoff.
    """
    # Commands, too, import this file, and logging takes a tenth of their start.
    import structlog  # noqa: PLC0415

    log = structlog.get_logger(f"holdfast.{name}")
    failures = 0
    while not stop.is_set():
        try:
            seconds = await step()
            failures = 0
        except Misconfigured as error:
            # Once a person has mended it, the loop goes on by itself.
            seconds = _LONGEST_PAUSE
            failures += 1
            log.error("a server refuses this, and no waiting mends it", reason=str(error), retry_in=seconds)  # noqa: TRY400 - it is no fault of the code
        except Trouble as error:
            seconds = _growing(failures)
            failures += 1
            log.warning("a server does not answer; trying again", reason=str(error), retry_in=seconds)
        except Exception:
            # On any error the loop goes on, because orders would wait forever for a loop that ended.
            seconds = _growing(failures)
            failures += 1
            log.exception("a step failed; trying again", retry_in=seconds)
        if seconds:
            await pause(seconds, stop)


@asynccontextmanager
async def repeated(step: Callable[[], Awaitable[float]], *, name: str) -> AsyncGenerator[None, None]:
    """Repeat a step beside the block, as `repeat` does. A step that has not ended with the block is cancelled."""
    stop = asyncio.Event()
    repeating = asyncio.create_task(repeat(step, stop, name=name))
    try:
        yield
    finally:
        stop.set()
        repeating.cancel()
        await asyncio.gather(repeating, return_exceptions=True)


def _growing(failures: int) -> float:
    # The exponent is bounded, so that an outage of hours can't overflow the power.
    return min(_SHORTEST_PAUSE * 2.0 ** min(failures, 10), _LONGEST_PAUSE)
