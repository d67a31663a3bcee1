"""Rate limits: one suite for memory and Redis."""

import asyncio
from collections.abc import AsyncIterator
from secrets import token_hex

import pytest

from adapters.memory.rate_limits import MemoryRateLimiter
from adapters.redis.client import open_redis
from adapters.redis.rate_limits import RedisRateLimiter
from application.ports.rate_limits import Quota, RateLimiter

# So slow that no test sees a token come back.
BURST, SUSTAINED = Quota("burst", 3, 100_000.0), Quota("sustained", 5, 1_000_000.0)
QUICK = Quota("quick", 1, 0.2)


@pytest.fixture(params=["memory", "redis"])
async def limiters(request: pytest.FixtureRequest) -> AsyncIterator[tuple[RateLimiter, RateLimiter]]:
    """One with two quotas that last, and one with a quota that comes back."""
    if request.param == "memory":
        yield MemoryRateLimiter([BURST, SUSTAINED]), MemoryRateLimiter([QUICK])
        return
    async with open_redis(request.getfixturevalue("redis_url")) as redis:
        names = f"test-{token_hex(6)}", f"test-{token_hex(6)}"
        yield RedisRateLimiter(redis, [BURST, SUSTAINED], names[0]), RedisRateLimiter(redis, [QUICK], names[1])
        for name in names:
            await redis.write("DEL", f"{name}:rate:ana", f"{name}:rate:bob")


async def test_each_request_takes_one_of_each_quota(limiters: tuple[RateLimiter, RateLimiter]) -> None:
    limiter, _ = limiters
    assert [(await limiter.take("ana")).left for _ in range(3)] == [(2, 4), (1, 3), (0, 2)]
    refused = await limiter.take("ana")
    assert refused.left == (0, 2)
    assert 1.0 < refused.retry_after <= BURST.window / BURST.quantity
    assert all(0 < reset <= quota.window for reset, quota in zip(refused.reset, (BURST, SUSTAINED), strict=True))
    # What was refused has taken nothing, and nobody else is concerned.
    assert (await limiter.take("ana")).left == (0, 2)
    assert (await limiter.take("bob")).left == (2, 4)


async def test_a_quota_comes_back(limiters: tuple[RateLimiter, RateLimiter]) -> None:
    _, limiter = limiters
    assert not (await limiter.take("ana")).retry_after
    async with asyncio.timeout(30):
        while (usage := await limiter.take("ana")).retry_after:  # noqa: ASYNC110 - the clock is awaited
            await asyncio.sleep(usage.retry_after)


async def test_requests_at_once_are_all_counted(limiters: tuple[RateLimiter, RateLimiter]) -> None:
    limiter, _ = limiters
    usages = await asyncio.gather(*(limiter.take("ana") for _ in range(10)))
    assert sorted(bool(usage.retry_after) for usage in usages) == [False] * 3 + [True] * 7


async def test_without_redis_each_process_counts_its_own(redis_url: str) -> None:
    async with open_redis(redis_url) as redis:
        limiter = RedisRateLimiter(redis, [BURST, SUSTAINED], f"test-{token_hex(6)}")
        await redis.close()
        usages = [await limiter.take("ana") for _ in range(4)]
    assert [bool(usage.retry_after) for usage in usages] == [False, False, False, True]
