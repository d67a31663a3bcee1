import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic
from typing import Any, Final

import msgspec
from attrs import define, field

from adapters.redis.client import RUN_BYTES, STAMP_BYTES, GuardedRedis, Script
from domain.ids import OrderId
from domain.orders.order import Order

# An entry: the stamp of its generation, the version as digits, and the order as JSON behind the digit of its shape.
# A change of Order's fields needs another digit: what another release wrote is then not read, and not misread.
SHAPE: Final = b"1"
_VERSION_DIGITS: Final = 19
_HEAD_BYTES: Final = STAMP_BYTES + _VERSION_DIGITS

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Order)

_NO_GENERATION: Final = b"-"

# KEYS: the generation, then the orders. ARGV: the generation that the caller knew, a new one, its time to live, and
# for each order its version, its time to live and its body. An entry of another generation counts as none.
#
# An order that was read or committed under a generation that has ended may have been overtaken by a version whose
# write to Redis was missed. Its body is not kept; an entry without one is, which keeps older versions out and is
# filled by whoever reads the order from the database next.
_PUT: Final = Script(
    f"""
local stamp = redis.call('GET', KEYS[1])
local knows = ARGV[1] == stamp
if stamp and string.sub(stamp, 1, {RUN_BYTES}) == string.sub(ARGV[2], 1, {RUN_BYTES}) then
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
else
    stamp = ARGV[2]
    knows = false
    redis.call('SET', KEYS[1], stamp, 'PX', ARGV[3])
end
for i = 2, #KEYS do
    local version, ttl, body = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
    local known = redis.pcall('GETRANGE', KEYS[i], 0, {_HEAD_BYTES})
    if type(known) ~= 'string' or string.sub(known, 1, {STAMP_BYTES}) ~= stamp then
        known = nil
    end
    local known_version = known and string.sub(known, {STAMP_BYTES + 1}, {_HEAD_BYTES})
    local is_readable = known and string.sub(known, {_HEAD_BYTES + 1}) == string.sub(body, 1, 1)
    local can_be_filled = knows and body ~= '' and known and known_version == version and not is_readable
    if not known or known_version < version or can_be_filled then
        redis.call('SET', KEYS[i], stamp .. version .. (knows and body or ''), 'PX', ttl)
    end
end
return stamp
"""
)


@define(eq=False)
class _Generation:
    """What this process knows of the generation that the entries of all processes are of."""

    _settle: float
    _time: Callable[[], float]
    _stamp: bytes = field(default=b"", init=False)
    _since: float = field(default=-math.inf, init=False)

    def learn(self, stamp: bytes) -> None:
        if stamp != self._stamp:
            # The first one needs no time: what was read or committed under an earlier one was not of this process.
            self._since = self._time() if self._stamp else -math.inf
            self._stamp = stamp

    def known(self) -> bytes:
        """The generation under which an order that is put now was read or committed.

        A transaction that is just ending may have begun before a new generation was heard of, so that a generation
        counts only when it has been known for longer than a transaction takes.
        """
        is_settled = self._stamp and self._time() - self._since >= self._settle
        return self._stamp if is_settled else _NO_GENERATION

    @property
    def is_unknown(self) -> bool:
        return not self._stamp


@define(eq=False)
class RedisRecentOrders:
    """The orders that were lately written or read by any process, for about `ttl` seconds.

    For some seconds, `settle`, after an outage of Redis little is kept, and the database answers.
    """

    _redis: GuardedRedis
    _namespace: str = "holdfast"
    _ttl: float = 600
    _settle: float = field(default=5.0, kw_only=True)
    _time: Callable[[], float] = field(default=monotonic, kw_only=True)
    _generation_key: str = field(init=False)
    _generation: _Generation = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._generation_key = f"{self._namespace}:generation"
        self._generation = _Generation(self._settle, self._time)
        self._redis.stand_under(self._generation_key)

    async def get_many(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        if not ids:
            return {}
        wanted = list(ids)
        answer = await self._redis.read("MGET", self._generation_key, *map(self._key, wanted))
        if answer is None:
            return {}
        stamp, *entries = answer
        if not self._redis.is_current(stamp):
            await self._begin_generation()
            return {}
        self._generation.learn(stamp)
        found = {id_: _decode(entry, id_) for id_, entry in zip(wanted, entries, strict=True) if _is_of(entry, stamp)}
        return {id_: order for id_, order in found.items() if order is not None}

    async def put_many(self, orders: Sequence[Order]) -> None:
        await self._put([(order.id, order.version, SHAPE + _ENCODER.encode(order)) for order in orders])

    async def invalidate_below(self, versions: Mapping[OrderId, int]) -> None:
        # An entry without a body takes the place of what is older, and of nothing: who read the order just before the
        # commit, and puts it just after this, comes too late as well.
        await self._put([(id_, version, b"") for id_, version in versions.items()])

    async def _put(self, entries: Sequence[tuple[OrderId, int, bytes]]) -> None:
        if not entries:
            return
        if self._generation.is_unknown:
            await self._learn_generation()
        arguments: list[Any] = [self._generation.known(), self._redis.new_stamp(), self._stamp_ttl()]
        for _, version, body in entries:
            arguments += (f"{version:0{_VERSION_DIGITS}}", self._entry_ttl(), body)
        keys = [self._generation_key, *(self._key(id_) for id_, _, _ in entries)]
        stamp = await self._redis.run(_PUT, keys, arguments)
        if stamp is not None:
            self._generation.learn(stamp)

    async def _learn_generation(self) -> None:
        # Once in the life of a process. A put that names no generation could be held up on its way, come after an
        # outage in which a newer version was missed, and be kept.
        await self._redis.write("SET", self._generation_key, self._redis.new_stamp(), "NX", "PX", self._stamp_ttl())
        stamp = await self._redis.read("GET", self._generation_key)
        if stamp is not None and self._redis.is_current(stamp):
            self._generation.learn(stamp)
        else:
            await self._begin_generation()

    async def _begin_generation(self) -> None:
        # When another process does the same at this moment, the one that comes second is right, and the first learns
        # of it with its next call.
        stamp = self._redis.new_stamp()
        if await self._redis.write("SET", self._generation_key, stamp, "PX", self._stamp_ttl()) is not None:
            self._generation.learn(stamp)

    def _key(self, id_: OrderId) -> str:
        return f"{self._namespace}:order:{id_}"

    def _stamp_ttl(self) -> int:
        # Each put prolongs it, so that it outlives the entries that stand under it.
        return int(self._ttl * 2000)

    def _entry_ttl(self) -> int:
        # Orders that were placed together must not end together.
        return int(self._ttl * 1000 * random.uniform(0.9, 1.1))  # noqa: S311 - nothing is secret


def _is_of(entry: bytes | None, stamp: bytes) -> bool:
    return entry is not None and len(entry) > _HEAD_BYTES and entry.startswith(stamp)


def _decode(entry: bytes, id_: OrderId) -> Order | None:
    """Return None for whatever this release can't read."""
    if entry[_HEAD_BYTES : _HEAD_BYTES + len(SHAPE)] != SHAPE:
        return None
    try:
        order = _DECODER.decode(memoryview(entry)[_HEAD_BYTES + len(SHAPE) :])
    except Exception:  # noqa: BLE001 - JSON, types and the rules of the domain can all be broken by a stranger's bytes
        return None
    return order if order.id == id_ else None
