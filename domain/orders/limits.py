"""The limits of a new order.

A limit may change with a later release. So it is checked where a request enters, and never when a stored order is read:
an order keeps what was once accepted.
"""

from collections.abc import Sequence
from typing import Final

from domain.errors import InvalidOrder
from domain.ids import ProductId

MAX_LINES: Final = 100
MAX_QUANTITY: Final = 1_000_000


def expect_within_limits(items: Sequence[tuple[ProductId, int]]) -> None:
    """Check the products and quantities of a new order. A product may come twice. Raise `InvalidOrder`."""
    if not 1 <= len(items) <= MAX_LINES:
        raise InvalidOrder(f"an order has 1 to {MAX_LINES} items", field="items")
    units: dict[ProductId, int] = {}
    for index, (product_id, quantity) in enumerate(items):
        if not 1 <= quantity <= MAX_QUANTITY:
            raise InvalidOrder(f"a quantity is between 1 and {MAX_QUANTITY}", field=f"items[{index}].quantity")
        units[product_id] = units.get(product_id, 0) + quantity
        if units[product_id] > MAX_QUANTITY:
            raise InvalidOrder(
                f"the quantities of product {product_id} add up to more than {MAX_QUANTITY}",
                field=f"items[{index}].quantity",
            )
