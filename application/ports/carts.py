"""Where carts are kept."""

from collections.abc import Callable
from typing import Final, Protocol

from application.errors import Misconfigured
from domain.cart import Cart
from domain.ids import CustomerId

# 30 days, in seconds.
CART_TTL: Final = 30 * 24 * 3600.0


class CartsUnsupported(Misconfigured):
    """The set-up keeps no carts."""


class Carts(Protocol):
    """The carts of customers. Each ends 30 days after it was last read or changed. They are not in the database.

    Raise `Unavailable` when they can't be reached, and `CartsUnsupported` where there are none. `change` raises
    `OutcomeUnknown` when it may have happened.
    """

    async def get(self, owner: CustomerId) -> Cart:
        """An empty one if there is none."""

    async def change(self, owner: CustomerId, change: Callable[[Cart], Cart]) -> Cart:
        """Change the cart, and return it. Nobody else changes it meanwhile.

        `change` may be called more than once, and nothing happens if it raises.
        """
