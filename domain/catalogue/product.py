from datetime import datetime
from typing import Final

from attrs import define, field, frozen, setters
from attrs.validators import ge, le, min_len

from domain.errors import InvalidProduct, OutOfStock
from domain.ids import ProductId, is_id
from domain.money import Money

# Limits of new data, which may change with a later release. Stored data is read without them.
MAX_TEXT: Final = 200
# The most units that can be counted in. It is far below `MAX_STOCK`, so that returned stock can't overflow.
MAX_COUNT: Final = 10**12
# The largest stock that every reader of JSON keeps exact.
MAX_STOCK: Final = 2**53 - 1


@define(kw_only=True)
class Product:
    """Something sold, and how many units of it can still be promised."""

    id: ProductId = field(validator=is_id, on_setattr=setters.frozen)
    name: str = field(validator=min_len(1))
    price: Money
    stock: int = field(validator=[ge(0), le(MAX_STOCK)])
    created_at: datetime = field(on_setattr=setters.frozen)
    # One more with each change, of the stock as well.
    version: int = field(default=1, validator=ge(1))

    def take(self, quantity: int) -> None:
        """Reserve units for an order. Raise `OutOfStock`, and change nothing, when there are too few."""
        if quantity > self.stock:
            raise OutOfStock(f"product {self.id} has {self.stock} units left, {quantity} were asked for")
        self._set_stock(self.stock - quantity)

    def give_back(self, quantity: int) -> None:
        """Return units that `take` had reserved."""
        self._set_stock(self.stock + quantity)

    def adjust(self, change: int) -> None:
        """Add or remove units, for a reason other than an order.

        Raise `OutOfStock` when the stock would be negative, and `InvalidProduct` when it would exceed `MAX_COUNT`.
        """
        if self.stock + change < 0:
            raise OutOfStock(f"product {self.id} has {self.stock} units left, {-change} were to be removed")
        if self.stock + change > MAX_COUNT:
            raise InvalidProduct(f"product {self.id} can have {MAX_COUNT} units at most", field="stock")
        self._set_stock(self.stock + change)

    def _set_stock(self, stock: int) -> None:
        self.stock = stock
        self.version += 1


@frozen(kw_only=True)
class StockAdjustment:
    """A change of stock that no order made: the first count, a restock, a correction."""

    product_id: ProductId = field(validator=is_id)
    change: int
    reason: str = field(validator=min_len(1))
    made_by: str = field(validator=min_len(1))
    at: datetime
