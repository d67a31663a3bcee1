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

    After a call has timed out or found the server unavailable, the breaker opens. Calls are then refused at once,
    except one call in every `pause` seconds, which tests whether the server is back. So a dead server costs one timeout
    in each pause, not one for each request.

    Raise `Unavailable` for a call that is refused at once, and `OutcomeUnknown` for a call that timed out: it may still
    have an effect on the server.
    """

    _work: Callable[[C], Awaitable[R]]
    _seconds: float = field(default=1.0, kw_only=True)
    _pause: float = field(default=1.0, kw_only=True)
    # In the event loop's time; None while the breaker is closed.
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
            # This process is overloaded, not the server.
            raise
        except (Unavailable, OutcomeUnknown):
            self._next_try = now() + self._pause
            raise
        except TimeoutError as error:
            self._next_try = now() + self._pause
            raise OutcomeUnknown(f"the server did not answer within {self._seconds:g} s") from error
        except Exception:
            # The server has refused this call, so it is up.
            self._next_try = None
            raise
        self._next_try = None
        return answer
