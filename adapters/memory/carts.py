from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

from attrs import define, field, frozen

from application.ports.carts import CART_TTL, CartsUnsupported
from domain.cart import Cart
from domain.ids import CustomerId


@define(eq=False)
class MemoryCarts:
    """At most `max_carts` carts, those that were used last. They end with this process."""

    _max_carts: int = field(default=10_000, kw_only=True)
    _time: Callable[[], float] = field(default=monotonic, kw_only=True)
    _carts: OrderedDict[CustomerId, tuple[float, Cart]] = field(factory=OrderedDict, init=False)

    async def get(self, owner: CustomerId) -> Cart:
        used_at, cart = self._carts.get(owner, (0.0, Cart()))
        if owner not in self._carts or self._time() - used_at > CART_TTL:
            return Cart()
        self._keep(owner, cart)
        return cart

    async def change(self, owner: CustomerId, change: Callable[[Cart], Cart]) -> Cart:
        cart = change(await self.get(owner))
        self._keep(owner, cart)
        return cart

    def _keep(self, owner: CustomerId, cart: Cart) -> None:
        self._carts[owner] = (self._time(), cart)
        self._carts.move_to_end(owner)
        if len(self._carts) > self._max_carts:
            self._carts.popitem(last=False)


@frozen
class NoCarts:
    """Keeps none: processes that share a database and no Redis can't show each other what is in memory."""

    async def get(self, owner: CustomerId) -> Cart:  # noqa: ARG002 - the port's
        raise CartsUnsupported(_ADVICE)

    async def change(self, owner: CustomerId, change: Callable[[Cart], Cart]) -> Cart:  # noqa: ARG002 - the port's
        raise CartsUnsupported(_ADVICE)


_ADVICE: Final = "carts are kept in Redis, and this shop has none: set REDIS_URL"
