import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from attrs import define, field

from application.errors import OutcomeUnknown, Overloaded, Unavailable

C = TypeVar("C")
R = TypeVar("R")


@define(eq=False)
class CircuitBreaker(Generic[C, R]):
    """A wrapper around calls to a server that may be down: no call waits for longer than `seconds`.

    After a call has timed out, the others are refused at once. Only one call in every `pause` seconds is let through,
    to test whether the server is back. So a dead server costs one timeout now and then, not one for each request.

    Raise `Unavailable` for a call that is refused at once, and `OutcomeUnknown` for one that timed out: its work may go
    on without its caller.
    """

    _work: Callable[[C], Awaitable[R]]
    _seconds: float = field(default=1.0, kw_only=True)
    _pause: float = field(default=1.0, kw_only=True)
    # In the event loop's time; None while the server answers.
    _next_try: float | None = field(default=None, init=False)

    async def __call__(self, call: C) -> R:
        now = asyncio.get_running_loop().time
        if self._next_try is not None:
            if now() < self._next_try:
                raise Unavailable("the server did not answer a moment ago, and is not asked again yet")
            self._next_try = now() + self._pause
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._work(call)
        except Overloaded:
            # This error says nothing about the server.
            raise
        except (Unavailable, OutcomeUnknown):
            self._next_try = now() + self._pause
            raise
        except TimeoutError as error:
            self._next_try = now() + self._pause
            raise OutcomeUnknown(f"the server did not answer within {self._seconds:g} s") from error
        except Exception:
            # A refusal is an answer.
            self._next_try = None
            raise
        self._next_try = None
        return answer
