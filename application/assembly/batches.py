"""The batched use cases, of which all can be drained."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from attrs import field, frozen

from application.assembly.limits import Limits
from application.execution.batching import Batched

C = TypeVar("C")
R = TypeVar("R")


@frozen
class Batches:
    """Makes batched use cases, and remembers them so that all can be drained."""

    _limits: Limits
    _made: list[Batched[Any, Any]] = field(factory=list, init=False)

    def __call__(self, work: Callable[[Sequence[C]], Awaitable[Sequence[R | Exception]]]) -> Batched[C, R]:
        batched: Batched[C, R] = Batched(
            work,
            max_size=self._limits.batch_max,
            max_in_flight=self._limits.batches_in_flight,
            longest_wait=self._limits.longest_wait,
        )
        self._made.append(batched)
        return batched

    async def drained(self) -> None:
        # A batch of one use case may make calls of another.
        while busy := [batched for batched in self._made if batched.is_busy]:
            for batched in busy:
                await batched.drained()
