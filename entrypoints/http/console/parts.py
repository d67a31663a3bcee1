"""The parts of a page, each of which may be unknown while the others are shown."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, Generic, TypeVar

from attrs import define, field, frozen

from application.errors import Trouble

T = TypeVar("T")

# Seconds for what a page asks the database, or another server.
QUERY_TIMEOUT: Final = 2.0


@frozen
class Part(Generic[T]):
    """A part of a page: its value, or since when it is unknown and why."""

    value: T | None
    unknown_since: datetime | None = None
    why: str = ""


@define(eq=False)
class Parts:
    """Asks for the parts of pages, and remembers since when one could not be had."""

    _now: Callable[[], datetime]
    _unknown: dict[str, datetime] = field(factory=dict, init=False)

    async def ask(self, name: str, work: Awaitable[T]) -> Part[T]:
        """Return the part. Any other error than `Trouble` and a timeout is raised."""
        try:
            async with asyncio.timeout(QUERY_TIMEOUT):
                value = await work
        except (Trouble, TimeoutError) as error:
            return Part(None, self.failed(name), str(error) or f"no answer within {QUERY_TIMEOUT:g} s")
        self.worked(name)
        return Part(value)

    def failed(self, name: str) -> datetime:
        """Return since when this fails."""
        return self._unknown.setdefault(name, self._now())

    def failing(self, prefix: str) -> list[str]:
        """Return what fails of those whose names begin so, without this beginning."""
        return [name.removeprefix(prefix) for name in self._unknown if name.startswith(prefix)]

    def worked(self, name: str) -> None:
        self._unknown.pop(name, None)
