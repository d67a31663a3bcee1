from typing import Final

from attrs import field, frozen
from attrs.validators import ge, le

from domain.ids import ProductId, is_id
from domain.money import Money

MAX_QUANTITY: Final = 1_000_000


@frozen(kw_only=True)
class OrderLine:
    """Some units of one product, at the price that was agreed when the order was placed."""

    product_id: ProductId = field(validator=is_id)
    quantity: int = field(validator=[ge(1), le(MAX_QUANTITY)])
    unit_price: Money

    @property
    def total(self) -> Money:
        """Raise `InvalidAmount` when it is too large to be counted exactly."""
        return self.unit_price * self.quantity
