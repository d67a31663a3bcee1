from typing import Any, Final, NewType
from uuid import UUID

# Whole numbers from 1 to `MAX_ID`, the largest that PostgreSQL and SQLite can store.
ProductId = NewType("ProductId", int)
UserId = NewType("UserId", int)
MAX_ID: Final = 2**63 - 1

# UUIDs (RFC 9562). Most are version 7: they rise with time, which keeps indexes compact. An order that was requested
# under an idempotency key has version 8, made from the key. No rule relies on their order.
OrderId = NewType("OrderId", UUID)
PaymentId = NewType("PaymentId", UUID)


def first_payment_of(order_id: OrderId) -> PaymentId:
    """The id of a payment that is requested together with its order, the same in whichever way the order is stored."""
    return PaymentId(order_id)


def is_id(_: object, attribute: Any, value: Any) -> None:
    """Validate a numbered id for attrs. Raise `ValueError`."""
    if not 1 <= value <= MAX_ID:
        raise ValueError(f"{attribute.name} is between 1 and {MAX_ID}, not {value}")
