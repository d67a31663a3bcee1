"""The limits of a new order.

A limit may change with a later release. So it is checked where a request enters, and never when a stored order is read:
an order keeps what was once accepted.
"""

from collections.abc import Sequence
from typing import Final

from domain.errors import InvalidOrder

MAX_LINES: Final = 100
MAX_QUANTITY: Final = 1_000_000


def expect_within_limits(quantities: Sequence[int]) -> None:
    """Check the quantities of the lines of a new order. Raise `InvalidOrder`."""
    if not 1 <= len(quantities) <= MAX_LINES:
        raise InvalidOrder(f"an order has 1 to {MAX_LINES} items", field="items")
    for index, quantity in enumerate(quantities):
        if not 1 <= quantity <= MAX_QUANTITY:
            raise InvalidOrder(f"a quantity is between 1 and {MAX_QUANTITY}", field=f"items[{index}].quantity")
