from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Final, Literal

from attrs import define, field, frozen, setters
from attrs.validators import ge, le, min_len, optional

from domain.errors import InvalidProduct, OutOfStock
from domain.ids import ProductId, is_id
from domain.metadata import with_changes
from domain.money import Money

# Limits of new data, which may change with a later release. Stored data is read without them.
MAX_TEXT: Final = 200
MAX_SKU: Final = 64
# The most units that can be counted in. It is far below `MAX_STOCK`, so that returned stock can't overflow.
MAX_COUNT: Final = 10**12
# The largest stock that every reader of JSON keeps exact.
MAX_STOCK: Final = 2**53 - 1


class Keep(Enum):
    """Stands for a value that stays as it is."""

    KEEP = "keep"


_Kept = Literal[Keep.KEEP]
KEEP: Final = Keep.KEEP


@frozen(kw_only=True)
class ProductEdit:
    """What becomes of a product. The price is in minor units; metadata are merged, where None removes a key."""

    name: str | _Kept = KEEP
    price: int | _Kept = KEEP
    currency: str | _Kept = KEEP
    sku: str | _Kept | None = KEEP
    active: bool | _Kept = KEEP
    # A mapping has no hash.
    metadata: Mapping[str, str | None] = field(factory=dict, hash=False)


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
    # The shop's own name for it, which no other product has.
    sku: str | None = field(default=None, validator=optional(min_len(1)))
    # Whether it can be ordered.
    active: bool = True
    # Never changed in place.
    metadata: Mapping[str, str] = field(factory=dict)

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

    def edit(self, edit: ProductEdit) -> bool:
        """Change all or nothing, and return whether anything differs.

        Raise `InvalidProduct`, `InvalidMetadata` or `InvalidAmount`.
        """
        name = self.name if edit.name is KEEP else expect_name(edit.name)
        price = Money(
            self.price.minor if edit.price is KEEP else edit.price,
            self.price.currency if edit.currency is KEEP else edit.currency,
        )
        sku = self.sku if edit.sku is KEEP else expect_sku(edit.sku)
        active = self.active if edit.active is KEEP else edit.active
        metadata = with_changes(self.metadata, edit.metadata)
        edited = (name, price, sku, active, metadata)
        if edited == (self.name, self.price, self.sku, self.active, self.metadata):
            return False
        self.name, self.price, self.sku, self.active, self.metadata = edited
        self.version += 1
        return True

    def _set_stock(self, stock: int) -> None:
        self.stock = stock
        self.version += 1


def expect_name(name: str) -> str:
    """Return the name of a new product. Raise `InvalidProduct`."""
    # A NUL is what PostgreSQL can't store in a text.
    if not 1 <= len(name) <= MAX_TEXT or "\0" in name:
        raise InvalidProduct(f"a name has 1 to {MAX_TEXT} characters, none of them NUL", field="name")
    return name


def expect_sku(sku: str | None) -> str | None:
    """Return the SKU of a new product. Raise `InvalidProduct`."""
    if sku is not None and not (1 <= len(sku) <= MAX_SKU and sku.isprintable()):
        raise InvalidProduct(f"an SKU has 1 to {MAX_SKU} printable characters", field="sku")
    return sku


@frozen(kw_only=True)
class StockAdjustment:
    """A change of stock that no order made: the first count, a restock, a correction."""

    product_id: ProductId = field(validator=is_id)
    change: int
    reason: str = field(validator=min_len(1))
    made_by: str = field(validator=min_len(1))
    at: datetime
