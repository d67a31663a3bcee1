"""Opaque cursors of pages, in base64url: one letter for the list, then the key of the last item of the page."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final
from uuid import UUID

from domain.ids import MAX_ID, OrderId, ProductId
from entrypoints.http.refusals import FieldError, InvalidRequest

_ORDERS: Final = b"o"
_PRODUCTS: Final = b"p"


def after_order(order_id: OrderId) -> str:
    return _cursor(_ORDERS, order_id.bytes)


def after_product(product_id: ProductId) -> str:
    return _cursor(_PRODUCTS, product_id.to_bytes(8, "big"))


def order_at(cursor: str) -> OrderId:
    """Return the order after which the page begins. Raise `InvalidRequest`."""
    return OrderId(UUID(bytes=_key(_ORDERS, cursor, 16)))


def product_at(cursor: str) -> ProductId:
    """Return the product after which the page begins. Raise `InvalidRequest`."""
    number = int.from_bytes(_key(_PRODUCTS, cursor, 8), "big")
    if not 1 <= number <= MAX_ID:
        raise _forged()
    return ProductId(number)


def _cursor(kind: bytes, key: bytes) -> str:
    return urlsafe_b64encode(kind + key).rstrip(b"=").decode()


def _key(kind: bytes, cursor: str, length: int) -> bytes:
    try:
        decoded = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (binascii.Error, ValueError):
        raise _forged() from None
    # Python's decoder skips unknown characters, so only text that encodes to itself again is a cursor.
    if len(decoded) != 1 + length or decoded[:1] != kind or _cursor(kind, decoded[1:]) != cursor:
        raise _forged()
    return decoded[1:]


def _forged() -> InvalidRequest:
    return InvalidRequest(FieldError("cursor", "it must be the `next` of the previous page, unchanged"))
