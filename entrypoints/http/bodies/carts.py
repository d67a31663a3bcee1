"""The JSON of carts."""

from typing import Annotated

from msgspec import Meta, Struct

from adapters.codecs.ids import in_json
from domain.cart import Cart, CartItem
from domain.ids import CustomerId
from domain.orders.limits import MAX_QUANTITY


class PutItemBody(Struct, frozen=True, forbid_unknown_fields=True):
    quantity: Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 1


class OrderCartBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Nothing: what is ordered is in the cart."""

    def members(self) -> int:
        """How many members the JSON has when none is written twice."""
        return 0


class CartItemBody(Struct, frozen=True):
    product_id: int
    quantity: int
    unit_price: int
    currency: str

    @classmethod
    def of(cls, item: CartItem) -> "CartItemBody":
        return cls(item.product_id, item.quantity, item.unit_price.minor, item.unit_price.currency)


class CartBody(Struct, frozen=True):
    user_id: int | str
    items: list[CartItemBody]

    @classmethod
    def of(cls, owner: CustomerId, cart: Cart) -> "CartBody":
        return cls(in_json(owner), [CartItemBody.of(item) for item in cart.items])
