from typing import Final

from attrs import field, frozen
from attrs.validators import ge, le

from domain.ids import ProductId, is_id
from domain.money import Money

# The most that a database can store. A new order may ask for less (`limits.py`).
_MOST: Final = 2**31 - 1


@frozen(kw_only=True)
class OrderLine:
    """Some units of one product, at the price that was agreed when the order was placed."""

    product_id: ProductId = field(validator=is_id)
    quantity: int = field(validator=[ge(1), le(_MOST)])
    unit_price: Money

    @property
    def total(self) -> Money:
        """Raise `InvalidAmount` when it is too large to be counted exactly."""
        return self.unit_price * self.quantity
