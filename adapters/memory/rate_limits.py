from collections.abc import Sequence

from attrs import define, field

from application.access.token_bucket import TokenBuckets
from application.ports.rate_limits import Quota, Usage


@define(eq=False)
class MemoryRateLimiter:
    """Counts the requests to this process alone."""

    _quotas: Sequence[Quota]
    _buckets: TokenBuckets = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._buckets = TokenBuckets(self._quotas)

    async def take(self, caller: str) -> Usage:
        return self._buckets.take(caller)
