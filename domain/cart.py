"""What a customer means to buy, and the orders that were made of it."""

from typing import Final

from attrs import evolve, field, frozen
from attrs.validators import ge, min_len

from domain.errors import CartEmpty, InvalidCart
from domain.ids import ProductId, is_id
from domain.money import Money
from domain.orders.limits import MAX_LINES, MAX_QUANTITY

# The last orders that are known by their keys, so that a request that is sent again gets its answer again.
_KNOWN: Final = 8


@frozen(kw_only=True)
class CartItem:
    """A product, and the price that its customer was shown."""

    product_id: ProductId = field(validator=is_id)
    quantity: int = field(validator=ge(1))
    unit_price: Money


def _each_product_once(_: object, __: object, items: tuple[CartItem, ...]) -> None:
    if len({item.product_id for item in items}) < len(items):
        raise InvalidCart("a product is in one item only")


@frozen
class Checkout:
    """One request to order the cart: what was in it then. It is settled when that has been taken out of the cart."""

    key: str
    items: tuple[CartItem, ...] = field(validator=[min_len(1), _each_product_once])
    settled: bool = False


@frozen
class Cart:
    items: tuple[CartItem, ...] = field(default=(), validator=_each_product_once)
    # Oldest first.
    checkouts: tuple[Checkout, ...] = field(default=())

    @checkouts.validator
    def _are_settled_in_turn(self, _: object, checkouts: tuple[Checkout, ...]) -> None:
        if len({each.key for each in checkouts}) < len(checkouts):
            raise InvalidCart("a checkout is known by its key")
        if not all(each.settled for each in checkouts[:-1]):
            raise InvalidCart("only the last checkout may not be settled")

    def put(self, item: CartItem) -> "Cart":
        """Have so many units of the product, at this price. Raise `InvalidCart`."""
        if not 1 <= item.quantity <= MAX_QUANTITY:
            raise InvalidCart(f"a quantity is between 1 and {MAX_QUANTITY}", field="quantity")
        others = tuple(each for each in self.items if each.product_id != item.product_id)
        if len(others) == len(self.items) >= MAX_LINES:
            raise InvalidCart(f"a cart has at most {MAX_LINES} products")
        if len(others) == len(self.items):
            return evolve(self, items=(*others, item))
        return evolve(self, items=tuple(item if each.product_id == item.product_id else each for each in self.items))

    def remove(self, product_id: ProductId) -> "Cart":
        return evolve(self, items=tuple(each for each in self.items if each.product_id != product_id))

    def emptied(self) -> "Cart":
        return evolve(self, items=())

    def known(self, key: str) -> Checkout | None:
        return next((each for each in self.checkouts if each.key == key), None)

    @property
    def unsettled(self) -> Checkout | None:
        return self.checkouts[-1] if self.checkouts and not self.checkouts[-1].settled else None

    def check_out(self, key: str) -> "Cart":
        """Begin to order what is here under this key. Nothing changes if that was begun before. Raise `CartEmpty`.

        It can't begin while another checkout is not settled: that one has to be settled or given up before.
        """
        if self.known(key) is not None or self.unsettled is not None:
            return self
        if not self.items:
            raise CartEmpty("there is nothing in this cart")
        return evolve(self, checkouts=(*self.checkouts[1 - _KNOWN :], Checkout(key, self.items)))

    def settle(self, key: str) -> "Cart":
        """Take out what was ordered under this key, and no more: units that were added meanwhile stay."""
        checkout = self.unsettled
        if checkout is None or checkout.key != key:
            return self
        ordered = {item.product_id: item.quantity for item in checkout.items}
        left = tuple(
            evolve(item, quantity=item.quantity - ordered.get(item.product_id, 0))
            for item in self.items
            if item.quantity > ordered.get(item.product_id, 0)
        )
        return Cart(left, (*self.checkouts[:-1], evolve(checkout, settled=True)))

    def give_up(self, key: str) -> "Cart":
        """The order under this key was refused: what is here stays, and may be ordered under another key."""
        checkout = self.unsettled
        return evolve(self, checkouts=self.checkouts[:-1]) if checkout is not None and checkout.key == key else self
