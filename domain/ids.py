from typing import Any, Final, NewType
from uuid import UUID

# The whole numbers that PostgreSQL and SQLite keep as an id: 1 to `MAX_ID`.
ProductId = NewType("ProductId", int)
UserId = NewType("UserId", int)
MAX_ID: Final = 2**63 - 1

# UUIDs (RFC 9562): version 7, most of which rise with time, which spares indexes, or, for an order that was asked for
# under a key, version 8, made of the key. No rule relies on their order.
OrderId = NewType("OrderId", UUID)
PaymentId = NewType("PaymentId", UUID)


def is_id(_: object, attribute: Any, value: Any) -> None:
    """Validate a numbered id for attrs. Raise `ValueError`."""
    if not 1 <= value <= MAX_ID:
        raise ValueError(f"{attribute.name} is between 1 and {MAX_ID}, not {value}")
