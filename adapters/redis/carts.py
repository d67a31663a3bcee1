from collections.abc import Callable
from typing import Any, Final

import msgspec
from attrs import define, field

from adapters.codecs.plain import plain
from adapters.redis.client import GuardedRedis, Script
from application.errors import Aborted, OutcomeUnknown, Unavailable
from application.ports.carts import CART_TTL
from domain.cart import Cart
from domain.ids import CustomerId

# The value of a cart: a digit for the shape of the JSON, and the cart as JSON. A change of its fields needs another.
SHAPE: Final = b"1"
# Attempts to change a cart that others change at the same time.
_TRIES: Final = 50

_ENCODER: Final = msgspec.json.Encoder(enc_hook=plain)
_DECODER: Final = msgspec.json.Decoder(Cart)

# KEYS: the cart. ARGV: its time to live. A missing cart is answered by "", since nil is what no answer looks like.
_GET: Final = Script(
    """
local cart = redis.call('GET', KEYS[1])
if not cart then return '' end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return cart
"""
)

# KEYS: the cart. ARGV: its time to live, what it was when it was read, what it becomes.
_REPLACE: Final = Script(
    """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[1])
return 1
"""
)


@define(eq=False)
class RedisCarts:
    """Carts that all processes share. They are kept nowhere else: what Redis loses is lost."""

    _redis: GuardedRedis
    _namespace: str = "holdfast"
    _ttl: float = field(default=CART_TTL, kw_only=True)

    async def get(self, owner: CustomerId) -> Cart:
        return _decoded(await self._read(owner))

    async def change(self, owner: CustomerId, change: Callable[[Cart], Cart]) -> Cart:
        for _ in range(_TRIES):
            before = await self._read(owner)
            cart = change(_decoded(before))
            after = SHAPE + _ENCODER.encode(cart)
            if after == before or await self._replace(owner, before, after):
                return cart
        raise Aborted("others were changing this cart all the time")

    async def _replace(self, owner: CustomerId, before: bytes, after: bytes) -> bool:
        try:
            return bool(await self._run(_REPLACE, owner, before, after))
        except Unavailable as error:
            raise OutcomeUnknown(str(error)) from error

    async def _read(self, owner: CustomerId) -> bytes:
        found: bytes = await self._run(_GET, owner)
        return found

    async def _run(self, script: Script, owner: CustomerId, *values: bytes) -> Any:
        key = f"{self._namespace}:cart:{owner}"
        answer = await self._redis.run(script, [key], [int(self._ttl * 1000), *values])
        if answer is None:
            raise Unavailable("Redis does not answer, and carts are kept there")
        return answer


def _decoded(value: bytes) -> Cart:
    """What this release can't read counts as no cart."""
    if not value.startswith(SHAPE):
        return Cart()
    try:
        return _DECODER.decode(value[len(SHAPE) :])
    except Exception:  # noqa: BLE001 - foreign bytes can break JSON, types and the rules of the domain
        return Cart()
