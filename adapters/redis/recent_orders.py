import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic
from typing import Any, Final

import msgspec
from attrs import define, field

from adapters.codecs.plain import plain
from adapters.redis.client import EPOCH_BYTES, RUN_BYTES, GuardedRedis, Script
from application.errors import Unavailable
from domain.ids import OrderId
from domain.orders.order import Order

# An entry: its epoch, the version as digits, a digit for the shape of the JSON, and the order as JSON. A change of
# Order's fields needs another digit, so that an entry of another release is ignored instead of misread.
SHAPE: Final = b"3"
_VERSION_DIGITS: Final = 19
_HEAD_BYTES: Final = EPOCH_BYTES + _VERSION_DIGITS

_ENCODER: Final = msgspec.json.Encoder(enc_hook=plain)
_DECODER: Final = msgspec.json.Decoder(Order)

_NO_EPOCH: Final = b"-"
# Looked through in one call of `scan`, which has the same short timeout as any other.
_SCANNED_AT_ONCE: Final = 500

# KEYS: the epoch, then the orders. ARGV: the epoch that the caller knew, a new epoch, the epoch's time to live, and for
# each order its version, its time to live and its body. An entry of another epoch counts as missing.
#
# If an order was read or committed in an epoch that has ended, Redis may have missed a newer version of it. So only an
# entry without a body is written. It keeps out older versions, and the next read of the order from the database fills
# in the body.
_PUT: Final = Script(
    f"""
local epoch = redis.call('GET', KEYS[1])
local knows = ARGV[1] == epoch
if epoch and string.sub(epoch, 1, {RUN_BYTES}) == string.sub(ARGV[2], 1, {RUN_BYTES}) then
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
else
    epoch = ARGV[2]
    knows = false
    redis.call('SET', KEYS[1], epoch, 'PX', ARGV[3])
end
for i = 2, #KEYS do
    local version, ttl, body = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
    local known = redis.pcall('GETRANGE', KEYS[i], 0, {_HEAD_BYTES})
    if type(known) ~= 'string' or string.sub(known, 1, {EPOCH_BYTES}) ~= epoch then
        known = nil
    end
    local known_version = known and string.sub(known, {EPOCH_BYTES + 1}, {_HEAD_BYTES})
    local is_readable = known and string.sub(known, {_HEAD_BYTES + 1}) == string.sub(body, 1, 1)
    local can_be_filled = knows and body ~= '' and known and known_version == version and not is_readable
    if not known or known_version < version or can_be_filled then
        redis.call('SET', KEYS[i], epoch .. version .. (knows and body or ''), 'PX', ttl)
    elseif known_version == version and redis.call('PTTL', KEYS[i]) > tonumber(ttl) then
        redis.call('PEXPIRE', KEYS[i], ttl)
    end
end
return epoch
"""
)


# KEYS: the orders. ARGV: for each its time to live and its body.
_PUT_ACCEPTED: Final = Script(
    """
for i = 1, #KEYS do
    redis.call('SET', KEYS[i], ARGV[2 * i], 'PX', ARGV[2 * i - 1])
end
return 1
"""
)


@define(eq=False)
class _KnownEpoch:
    """The current epoch of the entries, which all processes share, as far as this process knows it."""

    _settle: float
    _time: Callable[[], float]
    _current: bytes = field(default=b"", init=False)
    _since: float = field(default=-math.inf, init=False)

    def learn(self, epoch: bytes) -> None:
        if epoch != self._current:
            # The first epoch counts at once: this process has read and committed nothing in an earlier one.
            self._since = self._time() if self._current else -math.inf
            self._current = epoch

    def known(self) -> bytes:
        """Return the epoch in which an order that is put now was certainly read or committed.

        A transaction that is just ending may have begun before this process learned of a new epoch. So an epoch is
        returned only after it has been known for longer than a transaction takes.
        """
        is_settled = self._current and self._time() - self._since >= self._settle
        return self._current if is_settled else _NO_EPOCH

    @property
    def is_unknown(self) -> bool:
        return not self._current


@define(eq=False)
class RedisRecentOrders:
    """The orders that any process has recently written or read, for about `ttl` seconds.

    For `settle` seconds after an outage of Redis, few orders are cached, and most are read from the database.
    """

    _redis: GuardedRedis
    _namespace: str = "holdfast"
    _ttl: float = 600
    # For accepted orders, until they are recorded.
    _long_ttl: float = 24 * 3600
    _settle: float = field(default=5.0, kw_only=True)
    _time: Callable[[], float] = field(default=monotonic, kw_only=True)
    _epoch_key: str = field(init=False)
    _epoch: _KnownEpoch = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._epoch_key = f"{self._namespace}:generation"
        self._epoch = _KnownEpoch(self._settle, self._time)
        self._redis.invalidate_through(self._epoch_key)

    async def get_many(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        if not ids:
            return {}
        wanted = list(ids)
        answer = await self._redis.read("MGET", self._epoch_key, *map(self._key, wanted))
        if answer is None:
            return {}
        epoch, *entries = answer
        if not self._redis.is_current(epoch):
            await self._begin_epoch()
            return {}
        self._epoch.learn(epoch)
        found = {id_: _decode(entry) for id_, entry in zip(wanted, entries, strict=True) if _is_of(entry, epoch)}
        return {id_: order for id_, order in found.items() if order is not None and order.id == id_}

    async def put_many(self, orders: Sequence[Order]) -> bool:
        return await self._put(_entries(orders), self._ttl)

    async def put_accepted(self, orders: Sequence[Order]) -> None:
        entries = _entries(orders)
        await self._put(entries, self._long_ttl)
        if entries:
            arguments = [each for _, _, body in entries for each in (_spread(self._long_ttl), body)]
            await self._redis.run(_PUT_ACCEPTED, [self._accepted_key(id_) for id_, _, _ in entries], arguments)

    async def get_accepted(self, ids: Collection[OrderId]) -> dict[OrderId, Order]:
        # Of no epoch, since they come from no database, and what is not in the database has no newer version there.
        wanted = list(ids)
        bodies = await self._redis.read("MGET", *map(self._accepted_key, wanted)) if wanted else []
        if bodies is None:
            raise Unavailable("Redis does not answer, and so it is not known which orders have been accepted")
        found = {id_: _decode_body(body) for id_, body in zip(wanted, bodies, strict=True) if body}
        return {id_: order for id_, order in found.items() if order is not None and order.id == id_}

    async def scan(self, cursor: int) -> tuple[int, list[Order]]:
        # In no certain epoch: a version that is outdated here still shows that the order was told of.
        page = await self._redis.read("SCAN", cursor, "MATCH", f"{self._key_prefix}*", "COUNT", _SCANNED_AT_ONCE)
        next_cursor, keys = page or (0, [])
        entries = await self._redis.read("MGET", *keys) if keys else []
        if page is None or entries is None:
            raise Unavailable("Redis does not answer, and so the recent orders can't be looked through")
        orders = [_decode(entry) if entry else None for entry in entries]
        return int(next_cursor), [order for order in orders if order is not None]

    async def invalidate_below(self, versions: Mapping[OrderId, int]) -> bool:
        # An entry without a body replaces an older entry, and is also written if there is none. So a reader that read
        # the order just before the commit can't put that older version afterwards.
        return await self._put([(id_, version, b"") for id_, version in versions.items()], self._ttl)

    async def _put(self, entries: Sequence[tuple[OrderId, int, bytes]], ttl: float) -> bool:
        if not entries:
            return True
        if self._epoch.is_unknown:
            await self._learn_epoch()
        arguments: list[Any] = [self._epoch.known(), self._redis.new_epoch(), self._epoch_ttl()]
        for _, version, body in entries:
            arguments += (f"{version:0{_VERSION_DIGITS}}", _spread(ttl), body)
        keys = [self._epoch_key, *(self._key(id_) for id_, _, _ in entries)]
        epoch = await self._redis.run(_PUT, keys, arguments)
        if epoch is None:
            return False
        self._epoch.learn(epoch)
        return True

    async def _learn_epoch(self) -> None:
        # Called once in the life of a process. A put without an epoch could be delayed until after an outage in which a
        # newer version was missed, and its older version would then stay.
        await self._redis.write("SET", self._epoch_key, self._redis.new_epoch(), "NX", "PX", self._epoch_ttl())
        epoch = await self._redis.read("GET", self._epoch_key)
        if epoch is not None and self._redis.is_current(epoch):
            self._epoch.learn(epoch)
        else:
            await self._begin_epoch()

    async def _begin_epoch(self) -> None:
        # If two processes begin an epoch at once, the second epoch wins, and the first process learns of it with its
        # next call.
        epoch = self._redis.new_epoch()
        if await self._redis.write("SET", self._epoch_key, epoch, "PX", self._epoch_ttl()) is not None:
            self._epoch.learn(epoch)

    def _key(self, id_: OrderId) -> str:
        return f"{self._key_prefix}{id_}"

    def _accepted_key(self, id_: OrderId) -> str:
        return f"{self._namespace}:accepted:{id_}"

    @property
    def _key_prefix(self) -> str:
        return f"{self._namespace}:order:"

    def _epoch_ttl(self) -> int:
        # Each put prolongs the epoch, so that it outlives its entries.
        return int(max(self._ttl, self._long_ttl) * 2000)


def _entries(orders: Sequence[Order]) -> list[tuple[OrderId, int, bytes]]:
    return [(order.id, order.version, SHAPE + _ENCODER.encode(order)) for order in orders]


def _spread(ttl: float) -> int:
    # In ms. Orders that were placed together must not expire together.
    return int(ttl * 1000 * random.uniform(0.9, 1.1))  # noqa: S311 - nothing is secret


def _is_of(entry: bytes | None, epoch: bytes) -> bool:
    return entry is not None and len(entry) > _HEAD_BYTES and entry.startswith(epoch)


def _decode(entry: bytes) -> Order | None:
    """Return the order, or None if this release can't read the entry."""
    return _decode_body(entry[_HEAD_BYTES:])


def _decode_body(body: bytes) -> Order | None:
    if body[: len(SHAPE)] != SHAPE:
        return None
    try:
        return _DECODER.decode(memoryview(body)[len(SHAPE) :])
    except Exception:  # noqa: BLE001 - foreign bytes can break JSON, types and the rules of the domain
        return None
