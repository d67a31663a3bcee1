import asyncio
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Any

from attrs import define, field

from application.execution.batching import Batched
from application.execution.outcomes import MaybeLate, WorkOutcome


@define(eq=False)
class SimulatedWork:
    """Makes a worker take its time over each message before anything is done about it. None waits for another.

    For trials of a shop whose work is slow. The outcomes are futures, as those of a slow provider. Messages whose time
    is up together are handled in one batch.
    """

    _handle_all: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
    # The seconds that the next message takes.
    _seconds: Callable[[], float]
    _batched: Batched[Any, Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._batched = Batched(self._handle_all, longest_wait=inf)

    async def __call__(self, messages: Sequence[Any]) -> Sequence[asyncio.Future[WorkOutcome]]:
        return [asyncio.ensure_future(self._later(message)) for message in messages]

    async def _later(self, message: Any) -> WorkOutcome:
        # A crash before the work or during it is safe: the message is not acknowledged yet.
        await asyncio.sleep(self._seconds())
        try:
            outcome: MaybeLate = await self._batched(message)
        except Exception as error:  # noqa: BLE001 - any error is the outcome of this message, and of no other
            return error
        return await outcome if isinstance(outcome, asyncio.Future) else outcome
