from collections.abc import Sequence
from typing import Final

from attrs import define, field

from adapters.redis.client import GuardedRedis, Script
from application.access.token_bucket import TokenBuckets, usage_of
from application.ports.rate_limits import Quota, Usage

# KEYS: the buckets of one caller. ARGV: for each quota the quantity and the window in seconds. Returns whether the
# request is granted, and then the level of each bucket, in thousandths. The clock is that of Redis.
_TAKE: Final = Script(
    """
local now = redis.call('TIME')
now = tonumber(now[1]) + tonumber(now[2]) / 1000000
local at = tonumber(redis.call('HGET', KEYS[1], 'at') or now)
local granted, longest, answer = 1, 0, {}
for i = 1, #ARGV / 2 do
    local quantity, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local level = tonumber(redis.call('HGET', KEYS[1], i) or quantity)
    level = math.min(quantity, level + math.max(0, now - at) * quantity / window)
    if level < 1 then granted = 0 end
    longest = math.max(longest, window)
    answer[i] = level
end
for i = 1, #answer do
    answer[i] = answer[i] - granted
    redis.call('HSET', KEYS[1], i, string.format('%.6f', answer[i]))
    answer[i] = math.floor(answer[i] * 1000)
end
redis.call('HSET', KEYS[1], 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(longest * 1000))
table.insert(answer, 1, granted)
return answer
"""
)


@define(eq=False)
class RedisRateLimiter:
    """Counts the requests to all processes. While Redis is away, each process counts those that it gets."""

    _redis: GuardedRedis
    _quotas: Sequence[Quota]
    _namespace: str = "holdfast"
    _own: TokenBuckets = field(init=False)
    _arguments: list[str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._own = TokenBuckets(self._quotas)
        self._arguments = [str(each) for quota in self._quotas for each in (quota.quantity, quota.window)]

    async def take(self, caller: str) -> Usage:
        answer = await self._redis.run(_TAKE, [f"{self._namespace}:rate:{caller}"], self._arguments)
        if answer is None:
            return self._own.take(caller)
        granted, *levels = answer
        return usage_of(self._quotas, [level / 1000 for level in levels], granted=bool(granted))
