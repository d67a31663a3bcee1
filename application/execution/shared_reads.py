"""One reading for all who ask for the same at once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from attrs import define, field

C = TypeVar("C", bound=Hashable)
R = TypeVar("R")


@define(eq=False)
class SharedReads(Generic[C, R]):
    """Equal calls that arrive while one of them is read share the next reading, which begins after that one.

    So nobody gets what was read before it asked, and a list that everybody asks for is read by one at a time. Callers
    get the same result, and must not change it. A reading that fails fails for those who share it. The readings run in
    tasks of their own, so that a cancelled caller ends its own wait and nothing else.
    """

    _read: Callable[[C], Awaitable[R]]
    # By the call: the reading that has begun, and the one that has not.
    _begun: dict[C, asyncio.Task[R]] = field(factory=dict, init=False)
    _next: dict[C, asyncio.Task[R]] = field(factory=dict, init=False)

    async def __call__(self, call: C) -> R:
        task = self._next.get(call)
        if task is None:
            task = self._next[call] = asyncio.get_running_loop().create_task(self._read_after(call))
            task.add_done_callback(_look_at)
        return await asyncio.shield(task)

    async def _read_after(self, call: C) -> R:
        if (before := self._begun.get(call)) is not None:
            await asyncio.wait([before])
        self._begun[call] = self._next.pop(call)
        try:
            return await self._read(call)
        finally:
            del self._begun[call]


def _look_at(done: "asyncio.Task[R]") -> None:
    # If all callers were cancelled, nobody asks for the error, which must not be logged as one that was missed.
    _ = done.cancelled() or done.exception()
