import asyncio
import heapq
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from functools import partial
from itertools import count
from random import Random
from typing import Any, Final, TypeVar

T = TypeVar("T")

# The group of the running task: a task that it starts belongs to the same group.
GROUP: Final[ContextVar[list["asyncio.Task[Any]"] | None]] = ContextVar("GROUP", default=None)


async def ended(task: "asyncio.Task[Any]", *, within: float | None = None) -> None:
    """Wait until a task has ended, or for so many seconds: `asyncio.wait` for one task, in a part of its time."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()

    def end(_: object = None) -> None:
        if not over.done():
            over.set_result(None)

    task.add_done_callback(end)
    limit = None if within is None else loop.call_later(within, end)
    await over
    if limit is not None:
        limit.cancel()


class _Handle(partial[object]):
    """A callback that waits for its turn: what asyncio has a class for, without what costs time."""

    off = False

    def cancel(self) -> None:
        self.off = True

    def cancelled(self) -> bool:
        return self.off


class _Task(asyncio.Task[Any]):
    """A task whose place in a set hangs on its number, not on its address: a group is cancelled in one sequence."""

    def __init__(self, number: int, coro: Any, **options: Any) -> None:
        # asyncio keeps all tasks in a set, from the beginning.
        self._number = number
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number


class SimulatedLoop(asyncio.AbstractEventLoop):
    """An event loop that picks the next task at random, and in which time passes only when no task can run.

    It has no sockets, files or threads, so the seed decides everything that happens.
    """

    def __init__(self, chance: Random) -> None:
        self._random = chance.random
        self._now = 0.0
        self._ready: list[_Handle] = []
        self._timers: list[tuple[float, int, _Handle]] = []
        self._numbers = count()
        self._task_numbers = count()
        self.steps = 0
        self.troubles: list[str] = []

    def run(self, main: Coroutine[Any, Any, T], *, max_steps: int) -> T:
        """Run until `main` has ended. Raise RuntimeError when that takes more steps, or when no task can run."""
        asyncio._set_running_loop(self)  # noqa: SLF001 - meant for those who write an event loop
        try:
            task = self.create_task(main)
            self._run_until_done(task, max_steps)
            return task.result()
        except RuntimeError:
            self._cancel_all()
            raise
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001 - as above
            self._ready.clear()
            self._timers.clear()

    def _run_until_done(self, task: "asyncio.Task[Any]", max_steps: int) -> None:
        # All that is simulated goes by here, so that nothing is looked up twice.
        ready, random = self._ready, self._random
        while not task.done():
            if not ready:
                self._pass_time()
            # One of those that can run, whichever: the last takes its place.
            index = int(random() * len(ready))
            handle, ready[index] = ready[index], ready[-1]
            ready.pop()
            if handle.off:
                continue
            self.steps += 1
            if self.steps > max_steps:
                raise RuntimeError(f"no end after {max_steps} steps")
            handle()

    def _cancel_all(self) -> None:
        """End what a run without an end has left behind, which the garbage collector would complain about."""
        left = asyncio.all_tasks(self)
        for task in left:
            task.cancel()
        for _ in range(100 * len(left)):
            if not self._ready and (not self._timers or all(task.done() for task in left)):
                break
            if not self._ready:
                self._pass_time()
            handle = self._ready.pop()
            if not handle.off:
                handle()

    def _pass_time(self) -> None:
        while not self._ready:
            if not self._timers:
                raise RuntimeError("deadlock: every task waits for another one")
            self._now = max(self._now, self._timers[0][0])
            while self._timers and self._timers[0][0] <= self._now:
                handle = heapq.heappop(self._timers)[2]
                if not handle.off:
                    self._ready.append(handle)

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        handle = _Handle((context or copy_context()).run, callback, *args)
        self._ready.append(handle)
        return handle

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None) -> Any:
        handle = _Handle((context or copy_context()).run, callback, *args)
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> "asyncio.Task[Any]":
        task = _Task(next(self._task_numbers), coro, loop=self, name=name or "task", context=context)
        group = GROUP.get() if context is None else context.get(GROUP)
        if group is not None:
            group.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.troubles.append(f"{context.get('message')}: {context.get('exception')!r}")

    # Each future asks: no function of ours is called for the answer, which is False.
    get_debug = staticmethod(bool)

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False
