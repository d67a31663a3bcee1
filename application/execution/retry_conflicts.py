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
    """Calls that are repeated while another call is working on the same order or key.

    That is most often an earlier attempt of the same call, which timed out. Raise the last error after `seconds`: it
    says nothing about the server.
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
