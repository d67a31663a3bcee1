"""How many requests a caller may make."""

from typing import Protocol

from attrs import frozen


@frozen
class Quota:
    """So many requests may be made at once, and the same number again is granted in each window of so many seconds."""

    name: str
    quantity: int
    window: float

    @property
    def per_second(self) -> float:
        return self.quantity / self.window


@frozen
class Usage:
    """What one more request has left of the quotas. If `retry_after` seconds are not 0, it was not granted."""

    # For each quota: the whole requests that are left.
    left: tuple[int, ...]
    # For each quota: the seconds until all of it is there again.
    reset: tuple[float, ...]
    retry_after: float = 0.0


class RateLimiter(Protocol):
    """Counts the requests of each caller. It never raises."""

    async def take(self, caller: str) -> Usage: ...
