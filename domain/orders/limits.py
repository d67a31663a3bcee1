"""The limits of a new order.

A limit may change with a later release. So it is checked where a request enters, and never when a stored order is read:
an order keeps what was once accepted.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import fields

from domain.errors import InvalidOrder
from domain.ids import ProductId
from domain.metadata import MAX_KEY, MAX_KEYS, MAX_VALUE
from domain.orders.details import NO_DETAILS, Address, OrderDetails

MAX_LINES: Final = 100
MAX_QUANTITY: Final = 1_000_000

# Characters. An external id and an e-mail address are stored in columns of these lengths.
MAX_EXTERNAL_ID: Final = 128
MAX_EMAIL: Final = 254
MAX_ADDRESS_LINE: Final = 200
MAX_NOTE: Final = 2000
MAX_PAYMENT_METHOD: Final = 255


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


def expect_details_within_limits(details: OrderDetails | None, before: OrderDetails | None = None) -> None:
    """Check the details of a new order, or of one that had others `before`. Raise `InvalidOrder`.

    Only what changes is checked, since a limit may be lower than it was.
    """
    if details is None:
        return
    old = before or NO_DETAILS
    for name, most in _MOST.items():
        if getattr(details, name) != getattr(old, name):
            _expect_length(name, getattr(details, name), most)
    for kind in ("shipping_address", "billing_address"):
        address: Address | None = getattr(details, kind)
        if address is not None and address != getattr(old, kind):
            for attribute in fields(Address):
                _expect_length(f"{kind}.{attribute.name}", getattr(address, attribute.name), MAX_ADDRESS_LINE)
    _expect_metadata(details.metadata, old.metadata)


def _expect_metadata(metadata: Mapping[str, str], before: Mapping[str, str]) -> None:
    if len(metadata) > max(MAX_KEYS, len(before)):
        raise InvalidOrder(f"an order has at most {MAX_KEYS} keys of metadata", field="metadata")
    for key, value in metadata.items():
        if before.get(key) == value:
            continue
        if not 1 <= len(key) <= MAX_KEY:
            raise InvalidOrder(f"a key of metadata has 1 to {MAX_KEY} characters", field="metadata")
        _expect_length(f"metadata.{key}", value, MAX_VALUE)


_MOST: Final = {
    "external_id": MAX_EXTERNAL_ID,
    "email": MAX_EMAIL,
    "note": MAX_NOTE,
    "payment_method": MAX_PAYMENT_METHOD,
}


def _expect_length(name: str, text: str | None, most: int) -> None:
    if text is not None and len(text) > most:
        raise InvalidOrder(f"it has at most {most} characters", field=name)
