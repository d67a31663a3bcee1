"""Opaque cursors of pages, in base64url: the key of the last item of the page, and a signature.

The signature covers the list and its filter as well. So a client can't make a cursor, which would be a page of its own
in every cache, nor take it to another list.
"""

import binascii
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, Generic, TypeVar
from uuid import UUID

from attrs import field, frozen

from application.ports.jobs import JobPlace
from application.ports.order_search import OrderFilter
from application.ports.persistence import WaitingPlace
from application.ports.webhook_store import DeliveryFilter
from domain.dead_letter_groups import CauseFilter
from domain.ids import EndpointId, JobId, OrderId, ProductId
from domain.jobs.job import JobStatus
from domain.webhooks.delivery import DeliveryId
from entrypoints.http.refusals import InvalidCursor, in_query

_PRODUCTS: Final = "products"
_SIGNATURE: Final = 12
# A key of a byte at least, and the signature.
_FORM: Final = re.compile(r"[A-Za-z0-9_-]{18,}")
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


K = TypeVar("K")


@frozen
class _Keys(Generic[K]):
    """How the keys of the items of a list are written in its cursors."""

    write: Callable[[K], bytes]
    read: Callable[[bytes], K]


_ORDER_IDS: Final = _Keys[OrderId](lambda id_: id_.bytes, lambda key: OrderId(UUID(bytes=key)))
_JOB_IDS: Final = _Keys[JobId](lambda id_: id_.bytes, lambda key: JobId(UUID(bytes=key)))
_JOB_PLACES: Final = _Keys[JobPlace](
    lambda place: _moment_as_bytes(place[0]) + place[1].bytes,
    lambda key: (_moment_in(key), JobId(UUID(bytes=key[8:]))),
)
_WAITING_PLACES: Final = _Keys[WaitingPlace](
    lambda place: _moment_as_bytes(place[0]) + place[1].bytes,
    lambda key: (_moment_in(key), OrderId(UUID(bytes=key[8:]))),
)
_PRODUCT_IDS: Final = _Keys[ProductId](
    lambda id_: id_.to_bytes(8, "big"), lambda key: ProductId(int.from_bytes(key, "big"))
)
_ENDPOINT_IDS: Final = _Keys[EndpointId](lambda id_: id_.bytes, lambda key: EndpointId(UUID(bytes=key)))
_DELIVERY_IDS: Final = _Keys[DeliveryId](
    lambda id_: id_.endpoint_id.bytes + id_.position.to_bytes(8, "big"),
    lambda key: DeliveryId(EndpointId(UUID(bytes=key[:16])), int.from_bytes(key[16:], "big")),
)
_NUMBERS: Final = _Keys[int](lambda number: number.to_bytes(8, "big"), lambda key: int.from_bytes(key, "big"))
_TEXTS: Final = _Keys[str](str.encode, bytes.decode)


@frozen
class ListCursors(Generic[K]):
    """The cursors of one list with its filter."""

    _secret: bytes = field(repr=False)
    _list: str
    _keys: _Keys[K]

    def after(self, key: K) -> str:
        """Return the cursor of the page that begins after the item with this key."""
        return self._cursor(self._keys.write(key))

    def start(self, cursor: str) -> K:
        """Return the key of the item after which the page begins. Raise `InvalidCursor`."""
        try:
            decoded = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except (binascii.Error, ValueError):
            raise _forged() from None
        key, signature = decoded[:-_SIGNATURE], decoded[-_SIGNATURE:]
        # Python's decoder skips unknown characters, so only text that encodes to itself again is a cursor.
        if not compare_digest(signature, self._signature(key)) or self._cursor(key) != cursor:
            raise _forged()
        return self._keys.read(key)

    def _cursor(self, key: bytes) -> str:
        return urlsafe_b64encode(key + self._signature(key)).rstrip(b"=").decode()

    def _signature(self, key: bytes) -> bytes:
        return blake2b(self._list.encode() + b"\0" + key, key=self._secret, digest_size=_SIGNATURE).digest()


def expect_form(cursor: str) -> None:
    """Refuse what no list has as a cursor. Only with its filter it can be verified. Raise `InvalidCursor`."""
    if _FORM.fullmatch(cursor) is None:
        raise _forged()


@frozen
class Cursors:
    """The cursors of all lists, for all processes with the same secret."""

    _secret: bytes = field(repr=False)

    def of_orders(self, wanted: OrderFilter) -> ListCursors[OrderId]:
        return ListCursors(self._secret, _orders(wanted), _ORDER_IDS)

    def of_waiting_orders(self, *, stuck: bool) -> ListCursors[WaitingPlace]:
        # Another name than that of the cursors that had the id alone.
        return ListCursors(self._secret, "stuck orders by time" if stuck else "waiting orders", _WAITING_PLACES)

    def of_products(self, *, active: bool | None = True) -> ListCursors[ProductId]:
        return ListCursors(self._secret, _products(active=active), _PRODUCT_IDS)

    def of_stock(self) -> ListCursors[ProductId]:
        return ListCursors(self._secret, "stock", _PRODUCT_IDS)

    def of_adjustments(self, product_id: ProductId) -> ListCursors[int]:
        return ListCursors(self._secret, f"stock {product_id}", _NUMBERS)

    def of_audit(
        self, subject: str | None = None, request_id: str | None = None, action: str | None = None
    ) -> ListCursors[int]:
        # The names of those that a client may have got before there were requests, and actions, in it.
        of = f"audit {subject}" if request_id is None else f"audit of request {request_id} {subject}"
        if action is not None:
            of = f"{action} in the {of}"
        return ListCursors(self._secret, of, _NUMBERS)

    def of_keys(self) -> ListCursors[str]:
        return ListCursors(self._secret, "keys", _TEXTS)

    def of_jobs(self, kind: str | None, status: JobStatus | None) -> ListCursors[JobPlace]:
        # Another name than that of the cursors that had the id alone, and ended with its job.
        return ListCursors(self._secret, f"jobs by time {kind} {status}", _JOB_PLACES)

    def of_bulk_operations(self) -> ListCursors[JobPlace]:
        return ListCursors(self._secret, "bulk operations", _JOB_PLACES)

    def of_reconciliations(self) -> ListCursors[JobPlace]:
        return ListCursors(self._secret, "reconciliations", _JOB_PLACES)

    def of_messages(self, order_id: OrderId | None) -> ListCursors[JobId]:
        return ListCursors(self._secret, f"messages {order_id}", _JOB_IDS)

    def of_endpoints(self) -> ListCursors[EndpointId]:
        return ListCursors(self._secret, "webhook endpoints", _ENDPOINT_IDS)

    def of_dead_letters(self, only: CauseFilter, *, decided: bool) -> ListCursors[int]:
        of = json.dumps([only.queue, only.error, only.place, decided])
        return ListCursors(self._secret, f"dead letters {of}", _NUMBERS)

    def of_deliveries(self, only: DeliveryFilter) -> ListCursors[DeliveryId]:
        of = f"deliveries {only.endpoint_id} {only.status} {only.type} {only.order_id} {only.reason} {only.undelivered}"
        return ListCursors(self._secret, of, _DELIVERY_IDS)


def _moment_as_bytes(at: datetime) -> bytes:
    return ((at - _BEGINNING) // _MICROSECOND).to_bytes(8, "big")


def _moment_in(key: bytes) -> datetime:
    return _BEGINNING + int.from_bytes(key[:8], "big") * _MICROSECOND


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
