"""A hash whose entries are of one epoch. It ends with the epoch, some time after the epoch began."""

from typing import Final

from adapters.redis.client import GuardedRedis, Script

# The field of the hash that has its epoch.
EPOCH: Final = "epoch"

# KEYS: the hash. ARGV: the new epoch, its time to live.
_BEGIN: Final = Script(
    f"""
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], '{EPOCH}', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
)


async def begin_epoch(redis: GuardedRedis, key: str, *, ttl: float) -> str | None:
    """Begin an epoch of so many seconds, which removes all entries. Return it, or None if Redis is gone."""
    epoch = redis.new_epoch()
    answer = await redis.run(_BEGIN, [key], [epoch, int(ttl * 1000)])
    return None if answer is None else epoch.decode()
