import re
from hashlib import sha256
from typing import Any, Final, NewType
from uuid import UUID

# Whole numbers from 1 to `MAX_ID`, the largest that PostgreSQL and SQLite can store.
ProductId = NewType("ProductId", int)
UserId = NewType("UserId", int)
MAX_ID: Final = 2**63 - 1
# The largest whole number that JavaScript does not round, and so the largest id that a new product may have.
MAX_EXACT: Final = 2**53 - 1
# A new product without an id gets the one after the largest up to here. So a shop that chooses one far above, such as
# the largest there is, does not use up those below.
MOST_AUTOMATIC: Final = 2**52

# A customer is known by a number or by a name that an identity provider gave, of 1 to 64 printable characters. A name
# that is written like a number is that number: `customer_id` makes one id of both.
UserName = NewType("UserName", str)
CustomerId = UserId | UserName
MAX_NAME: Final = 64
_NUMBER: Final = re.compile(r"0|[1-9][0-9]*")

# UUIDs (RFC 9562). Most are version 7: they rise with time, which keeps indexes compact. An order that was requested
# under an idempotency key has version 8, made from the key; a payment has, too, made from its order. No rule relies on
# their sequence.
OrderId = NewType("OrderId", UUID)
PaymentId = NewType("PaymentId", UUID)
JobId = NewType("JobId", UUID)
EndpointId = NewType("EndpointId", UUID)


# The bits of a UUID that say which kind it is: its version, and its variant (RFC 9562, sections 4.1 and 4.2).
_KIND: Final = 0xF << 76 | 0b11 << 62
# Version 8 leaves all other bits to the application (section 5.8). Here they are those of a hash.
_VERSION_8: Final = 0x8 << 76 | 0b10 << 62


def id_made_of(*parts: str) -> UUID:
    """Return the UUID (version 8) that these texts always make, in every process and every release."""
    digest = sha256("\0".join(parts).encode()).digest()
    return UUID(int=int.from_bytes(digest[:16], "big") & ~_KIND | _VERSION_8)


def is_made(id_: UUID) -> bool:
    """Whether `id_made_of` may have made it."""
    return id_.int & _KIND == _VERSION_8


def first_payment_of(order_id: OrderId) -> PaymentId:
    """The id of a payment that is requested together with its order, the same in whichever way the order is stored."""
    return PaymentId(order_id)


def payment_after(last: PaymentId | None, order_id: OrderId) -> PaymentId:
    """The id of an order's next attempt to pay, after the last one.

    It follows from the order and from how many attempts there were. So a database that was restored from a backup asks
    the provider again under the very key under which it has charged, and nobody is charged twice.
    """
    return PaymentId(id_made_of("payment", str(order_id), str(last or "none yet")))


def is_id(_: object, attribute: Any, value: Any) -> None:
    """Validate a numbered id for attrs. Raise `ValueError`."""
    if not 1 <= value <= MAX_ID:
        raise ValueError(f"{attribute.name} is between 1 and {MAX_ID}, not {value}")


def customer_id(written: int | str) -> CustomerId:
    """Return the id that is written as a number or as text. Raise `ValueError`."""
    if isinstance(written, str):
        if not (1 <= len(written) <= MAX_NAME and written.isprintable()):
            raise ValueError(f"the id of a customer is 1 to {MAX_NAME} printable characters")
        if _NUMBER.fullmatch(written) is None:
            return UserName(written)
        written = int(written)
    if not 1 <= written <= MAX_ID:
        raise ValueError(f"the id of a customer is a number between 1 and {MAX_ID}, or a name")
    return UserId(written)


def is_customer_id(_: object, attribute: Any, value: Any) -> None:
    """Validate for attrs what `customer_id` returns. Raise `ValueError`."""
    if type(value) is not int:
        if not isinstance(value, str) or customer_id(value) != value:
            raise ValueError(f"{attribute.name} is no id of a customer: {value!r}")
    elif not 1 <= value <= MAX_ID:
        raise ValueError(f"{attribute.name} is between 1 and {MAX_ID}, not {value}")
