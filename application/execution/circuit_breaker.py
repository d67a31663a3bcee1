import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from attrs import define, field

from application.errors import OutcomeUnknown, Overloaded, Unavailable

C = TypeVar("C")
R = TypeVar("R")


@define(eq=False)
class CircuitBreaker(Generic[C, R]):
    """Calls of something whose server may be gone: none waits for longer than `seconds`.

    When one has waited in vain, the others are refused at once, all but one in every `pause` seconds, which finds out
    whether the server is back. So a dead server costs one timeout now and then, and not one a request.

    Raise `Unavailable` for what is refused at once. What has begun goes on without its caller: raise `OutcomeUnknown`.
    """

    _work: Callable[[C], Awaitable[R]]
    _seconds: float = field(default=1.0, kw_only=True)
    _pause: float = field(default=1.0, kw_only=True)
    # Of the event loop's time; None while the server answers.
    _next_try: float | None = field(default=None, init=False)

    async def __call__(self, call: C) -> R:
        now = asyncio.get_running_loop().time
        if self._next_try is not None:
            if now() < self._next_try:
                raise Unavailable("there was no answer a moment ago")
            self._next_try = now() + self._pause
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._work(call)
        except Overloaded:
            # It says nothing about the server.
            raise
        except (Unavailable, OutcomeUnknown):
            self._next_try = now() + self._pause
            raise
        except TimeoutError as error:
            self._next_try = now() + self._pause
            raise OutcomeUnknown(f"there was no answer within {self._seconds:g} s") from error
        except Exception:
            # A refusal is an answer.
            self._next_try = None
            raise
        self._next_try = None
        return answer
