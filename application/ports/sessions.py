"""Sessions of the console that were ended before their time."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen


@frozen
class Session:
    """`id` is the SHA-256 of what the browser holds, in hex digits. At `until`, the session is over by itself."""

    id: str
    until: datetime


class EndedSessions(Protocol):
    """What was signed out. The others have no row."""

    async def add_many(self, sessions: Sequence[Session]) -> None:
        """Those that were ended before stay as they are."""

    async def among(self, ids: Collection[str]) -> set[str]:
        """Those of these that were ended."""

    async def remove(self, moment: datetime, *, limit: int) -> int:
        """Remove some that were over by themselves before the moment. Return how many."""
