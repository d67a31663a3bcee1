import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, ParamSpec, TypeVar

from attrs import field, frozen

from application.errors import Overloaded

P = ParamSpec("P")
R = TypeVar("R")

# Seconds that a person waits for a page.
_SECONDS: Final = 2.0


@frozen
class Bounded(Generic[P, R]):
    """A read for a person, of much that waits. After `seconds` it is given up: raise `Overloaded`."""

    _read: Callable[P, Awaitable[R]]
    _seconds: float = field(default=_SECONDS, kw_only=True)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._read(*args, **kwargs)
        except TimeoutError:
            raise Overloaded(f"the database took longer than {self._seconds:g} s for this") from None
