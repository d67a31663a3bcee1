"""The batched use cases, of which all can be drained."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from attrs import field, frozen

from application.assembly.limits import Limits
from application.execution.batching import Batched
from application.ports.telemetry import Telemetry
from application.telemetry import metrics

C = TypeVar("C")
R = TypeVar("R")


@frozen
class Batches:
    """Makes batched use cases, and remembers them so that all can be drained."""

    _limits: Limits
    _telemetry: Telemetry
    _made: list[Batched[Any, Any]] = field(factory=list, init=False)

    def __call__(
        self, work: Callable[[Sequence[C]], Awaitable[Sequence[R | Exception]]], name: str | None = None
    ) -> Batched[C, R]:
        """The metrics call the use case by this name, or by that of its class."""
        use_case = name or _in_words(getattr(work, "__name__", type(work).__name__))
        batched: Batched[C, R] = Batched(
            work,
            note_size=self._telemetry.of(metrics.BATCH_SIZE, use_case=use_case),
            note_wait=self._telemetry.of(metrics.BATCH_WAIT, use_case=use_case),
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


def _in_words(name: str) -> str:
    """As `place_order` for `PlaceOrder`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
