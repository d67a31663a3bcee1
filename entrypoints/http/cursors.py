"""Opaque cursors of pages, in base64url: the key of the last item of the page, and a signature.

The signature covers the list and its filter as well. So a client can't make a cursor, which would be a page of its own
in every cache, nor take it to another list.
"""

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from hmac import compare_digest
from typing import Final
from uuid import UUID

from attrs import field, frozen

from application.ports.order_search import OrderFilter
from domain.ids import JobId, OrderId, ProductId
from entrypoints.http.refusals import InvalidCursor, in_query

_PRODUCTS: Final = "products"
_KEYS: Final = "keys"
_AUDIT: Final = "audit"
_SIGNATURE: Final = 12


@frozen
class Cursors:
    """The cursors of all processes with the same secret. Each method that reads one raises `InvalidCursor`."""

    _secret: bytes = field(repr=False)

    def after_order(self, order_id: OrderId, wanted: OrderFilter) -> str:
        return self._cursor(_orders(wanted), order_id.bytes)

    def order_at(self, cursor: str, wanted: OrderFilter) -> OrderId:
        """Return the order after which the page of the list with this filter begins."""
        return OrderId(UUID(bytes=self._key(_orders(wanted), cursor)))

    def after_product(self, product_id: ProductId, *, active: bool | None = True) -> str:
        return self._cursor(_products(active=active), product_id.to_bytes(8, "big"))

    def product_at(self, cursor: str, *, active: bool | None = True) -> ProductId:
        """Return the product after which the page begins."""
        return ProductId(int.from_bytes(self._key(_products(active=active), cursor), "big"))

    def before_adjustment(self, number: int, product_id: ProductId) -> str:
        return self._cursor(f"stock {product_id}", number.to_bytes(8, "big"))

    def adjustment_at(self, cursor: str, product_id: ProductId) -> int:
        """Return the number of the adjustment before which the page begins."""
        return int.from_bytes(self._key(f"stock {product_id}", cursor), "big")

    def after_entry(self, id_: int, subject: str | None) -> str:
        return self._cursor(f"{_AUDIT} {subject}", id_.to_bytes(8, "big"))

    def entry_at(self, cursor: str, subject: str | None) -> int:
        """Return the entry of the audit after which the page begins."""
        return int.from_bytes(self._key(f"{_AUDIT} {subject}", cursor), "big")

    def after_key(self, key_id: str) -> str:
        return self._cursor(_KEYS, key_id.encode())

    def key_at(self, cursor: str) -> str:
        """Return the API key after which the page begins."""
        return self._key(_KEYS, cursor).decode()

    def after_job(self, job_id: JobId, of: str) -> str:
        """`of` names the list with its filter."""
        return self._cursor(of, job_id.bytes)

    def job_at(self, cursor: str, of: str) -> JobId:
        """Return the job, or the message with its id, after which the page begins."""
        return JobId(UUID(bytes=self._key(of, cursor)))

    def _cursor(self, of: str, key: bytes) -> str:
        return urlsafe_b64encode(key + self._signature(of, key)).rstrip(b"=").decode()

    def _key(self, of: str, cursor: str) -> bytes:
        try:
            decoded = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except (binascii.Error, ValueError):
            raise _forged() from None
        key, signature = decoded[:-_SIGNATURE], decoded[-_SIGNATURE:]
        # Python's decoder skips unknown characters, so only text that encodes to itself again is a cursor.
        if not compare_digest(signature, self._signature(of, key)) or self._cursor(of, key) != cursor:
            raise _forged()
        return key

    def _signature(self, of: str, key: bytes) -> bytes:
        return blake2b(of.encode() + b"\0" + key, key=self._secret, digest_size=_SIGNATURE).digest()


def _products(*, active: bool | None) -> str:
    # Those of a list without a filter are from before there was one, when all products were for sale.
    return _PRODUCTS if active else f"{_PRODUCTS} {active}"


def _orders(wanted: OrderFilter) -> str:
    """Return the same text for the same filter in each release. A text in it can't look like the rest of another."""
    statuses = sorted(wanted.statuses)
    status = statuses[0] if len(statuses) == 1 else None
    user_id = wanted.user_id
    of = f"orders {user_id if user_id is None or isinstance(user_id, int) else repr(user_id)} {status}"
    rest = {
        "order_id": wanted.order_id and str(wanted.order_id),
        "external_id": wanted.external_id,
        "email": wanted.email,
        "statuses": [*map(str, statuses)] if len(statuses) > 1 else None,
        "product_ids": sorted(wanted.product_ids) or None,
        "placed_after": wanted.placed_after and wanted.placed_after.timestamp(),
        "placed_before": wanted.placed_before and wanted.placed_before.timestamp(),
        "total_min": wanted.total_min,
        "total_max": wanted.total_max,
    }
    given = {name: value for name, value in rest.items() if value is not None}
    return f"{of} {json.dumps(given)}" if given else of


def _forged() -> InvalidCursor:
    rule = "it must be the `next` of the previous page, unchanged, with the parameters of that page"
    return InvalidCursor(in_query("cursor", rule))
