"""Token buckets: one for each quota of each caller. A bucket is full at first, and each request takes a token."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from time import monotonic

from attrs import define, field

from application.ports.rate_limits import Quota, Usage


@define(eq=False)
class TokenBuckets:
    """The buckets of the callers that were here last. A caller who was not here for long has full ones again anyway."""

    _quotas: Sequence[Quota]
    _time: Callable[[], float] = field(default=monotonic, kw_only=True)
    _most: int = field(default=10_000, kw_only=True)
    # The tokens, and when they were counted, of those who were here last.
    _buckets: OrderedDict[str, tuple[tuple[float, ...], float]] = field(factory=OrderedDict, init=False)

    def take(self, caller: str, *, tokens: int = 1) -> Usage:
        """Take as many tokens from each bucket, or none if one has fewer. With no tokens, look only for one."""
        now = self._time()
        levels = self._levels(caller, now)
        usage = usage_of(self._quotas, levels)
        if usage.retry_after or not tokens:
            return usage
        levels = tuple(level - tokens for level in levels)
        self._buckets[caller] = levels, now
        self._buckets.move_to_end(caller)
        while len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        return usage_of(self._quotas, levels, granted=True)

    def _levels(self, caller: str, now: float) -> tuple[float, ...]:
        known = self._buckets.get(caller)
        if known is None:
            return tuple(float(quota.quantity) for quota in self._quotas)
        levels, at = known
        return tuple(
            min(quota.quantity, level + (now - at) * quota.per_second)
            for quota, level in zip(self._quotas, levels, strict=True)
        )


def usage_of(quotas: Sequence[Quota], levels: Sequence[float], *, granted: bool = False) -> Usage:
    """Return what these levels of the buckets mean."""
    pairs = list(zip(quotas, levels, strict=True))
    missing = 0.0 if granted else max((1 - level) / quota.per_second for quota, level in pairs)
    return Usage(
        left=tuple(max(0, int(level)) for _, level in pairs),
        reset=tuple((quota.quantity - level) / quota.per_second for quota, level in pairs),
        retry_after=max(0.0, missing),
    )
