import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from attrs import field, frozen

from application.errors import Aborted
from application.execution.idempotency import KeyInFlight

C = TypeVar("C")
R = TypeVar("R")


@frozen
class Retrying(Generic[C, R]):
    """Repeats a call while another call is working on the same order or key.

    The other call is most often an earlier attempt of this call, which timed out. After `seconds`, raise the last
    error, which does not mean that the server is down.
    """

    _work: Callable[[C], Awaitable[R]]
    _seconds: float = field(default=3.0, kw_only=True)
    _pause: float = field(default=0.05, kw_only=True)

    async def __call__(self, call: C) -> R:
        now = asyncio.get_running_loop().time
        end = now() + self._seconds
        while True:
            try:
                return await self._work(call)
            except (Aborted, KeyInFlight):
                if now() + self._pause > end:
                    raise
                await asyncio.sleep(self._pause)
