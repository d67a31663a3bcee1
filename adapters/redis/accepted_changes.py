from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from attrs import frozen

from adapters.codecs.events import BadMessage, decode, encode
from adapters.redis.client import GuardedRedis, Script
from application.errors import Unavailable
from domain.ids import JobId, OrderId
from domain.orders.events import OrderChangeAccepted

# Looked through in one call of `scan`, as by that of the recent orders.
_SCANNED_AT_ONCE: Final = 500

# KEYS: for each change the list of its order, and the change. ARGV: the time to live in ms; for each change its id and
# its body.
_PUT: Final = Script(
    """
for i = 1, #KEYS / 2 do
    local list, change, id = KEYS[2 * i - 1], KEYS[2 * i], ARGV[2 * i]
    if redis.call('SET', change, ARGV[2 * i + 1], 'NX', 'PX', ARGV[1]) then
        redis.call('RPUSH', list, id)
    end
    redis.call('PEXPIRE', list, ARGV[1])
end
return 1
"""
)
# KEYS: the lists of orders.
_OF_ORDERS: Final = Script(
    """
local found = {}
for i = 1, #KEYS do
    found[i] = redis.call('LRANGE', KEYS[i], 0, -1)
end
return found
"""
)
# KEYS: for each change the list of its order, and the change. ARGV: its id.
_FORGET: Final = Script(
    """
for i = 1, #KEYS / 2 do
    redis.call('LREM', KEYS[2 * i - 1], 0, ARGV[i])
    redis.call('DEL', KEYS[2 * i])
end
return 1
"""
)


@frozen
class RedisAcceptedChanges:
    """The changes that any process has accepted, in no epoch: no restore takes away what is in no database."""

    _redis: GuardedRedis
    _namespace: str = "holdfast"
    # In seconds, as long as accepted orders.
    _ttl: float = 24 * 3600

    async def put_many(self, changes: Sequence[OrderChangeAccepted]) -> None:
        if changes:
            keys = [key for change in changes for key in (self._of(change.order_id), self._change(change.job_id))]
            arguments: list[Any] = [int(self._ttl * 1000)]
            for change in changes:
                arguments += (str(change.job_id), encode(change))
            await self._redis.run(_PUT, keys, arguments)

    async def of_orders(self, ids: Collection[OrderId]) -> dict[OrderId, list[JobId]]:
        wanted = list(ids)
        lists = await self._redis.run(_OF_ORDERS, list(map(self._of, wanted)), []) if wanted else None
        found = zip(wanted, lists or [[]] * len(wanted), strict=True)
        return {order_id: [JobId(UUID(id_.decode())) for id_ in each] for order_id, each in found if each}

    async def get(self, id_: JobId) -> OrderChangeAccepted | None:
        change = _decoded(await self._redis.read("GET", self._change(id_)))
        return change if change is not None and change.job_id == id_ else None

    async def forget(self, recorded: Mapping[OrderId, Collection[JobId]]) -> None:
        changes = [(order_id, id_) for order_id, ids in recorded.items() for id_ in ids]
        if changes:
            keys = [key for order_id, id_ in changes for key in (self._of(order_id), self._change(id_))]
            await self._redis.run(_FORGET, keys, [str(id_) for _, id_ in changes])

    async def scan(self, cursor: int) -> tuple[int, list[OrderChangeAccepted]]:
        page = await self._redis.read("SCAN", cursor, "MATCH", f"{self._namespace}:change:*", "COUNT", _SCANNED_AT_ONCE)
        next_cursor, keys = page or (0, [])
        bodies = await self._redis.read("MGET", *keys) if keys else []
        if page is None or bodies is None:
            raise Unavailable("Redis does not answer, and so the accepted changes can't be looked through")
        changes = map(_decoded, bodies)
        return int(next_cursor), [change for change in changes if change is not None]

    def _of(self, id_: OrderId) -> str:
        return f"{self._namespace}:changes:{id_}"

    def _change(self, id_: JobId) -> str:
        return f"{self._namespace}:change:{id_}"


def _decoded(body: bytes | None) -> OrderChangeAccepted | None:
    """Return the change, or None for what this release can't read."""
    try:
        event = decode(body) if body else None
    except BadMessage:
        return None
    return event if isinstance(event, OrderChangeAccepted) else None
