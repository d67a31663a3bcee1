"""Rows of files that others read: CSV and NDJSON, with the names of the HTTP interface.

They are apart from what is stored (`shapes.py`). A file begins with the position in the feed that it is as of.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from io import StringIO
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import msgspec
from attrs import frozen
from msgspec import Struct

from adapters.codecs.announced import AddressData, details_of
from adapters.codecs.feed_items import FeedItemBody
from adapters.codecs.ids import in_json
from adapters.codecs.plain import plain
from adapters.codecs.shapes import DetailsShape
from application.ports.feed import Position
from application.ports.rows import Row, RowResult, RowWriter
from domain.catalogue.product import Product
from domain.orders.order import Order

# What a spreadsheet would take for a formula begins so. It gets a `'` in front, and so does what looks like that.
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
_ESCAPED: Final = re.compile(r"'+[=+\-@\t\r]")
_ENCODER: Final = msgspec.json.Encoder(enc_hook=plain)


class ItemRow(Struct):
    product_id: int
    quantity: int
    unit_price: int


class OrderRow(Struct, kw_only=True):
    order_id: UUID
    user_id: int | str
    status: str
    total_price: int
    currency: str
    items: list[ItemRow]
    failure_reason: str | None
    out_of_stock: tuple[int, ...]
    refund_requested: bool
    created_at: datetime
    updated_at: datetime
    version: int
    external_id: str | None = None
    email: str | None = None
    shipping_address: AddressData | None = None
    billing_address: AddressData | None = None
    note: str | None = None
    metadata: Mapping[str, str] = {}
    payment_method: str | None = None

    @classmethod
    def of(cls, order: Order) -> "OrderRow":
        return cls(
            order_id=order.id,
            user_id=in_json(order.user_id),
            status=order.status.value,
            total_price=order.total.minor,
            currency=order.total.currency,
            items=[ItemRow(line.product_id, line.quantity, line.unit_price.minor) for line in order.lines],
            failure_reason=None if order.failure_reason is None else order.failure_reason.value,
            out_of_stock=order.out_of_stock,
            refund_requested=order.refund_requested,
            created_at=order.created_at,
            updated_at=order.updated_at,
            version=order.version,
            **({} if order.details is None else details_of(DetailsShape.of(order.details))),
        )


class ProductRow(Struct):
    id: int
    name: str
    price: int
    currency: str
    stock: int
    created_at: datetime
    sku: str | None
    active: bool
    metadata: Mapping[str, str]
    version: int

    @classmethod
    def of(cls, product: Product) -> "ProductRow":
        return cls(
            product.id,
            product.name,
            product.price.minor,
            product.price.currency,
            product.stock,
            product.created_at,
            product.sku,
            product.active,
            product.metadata,
            product.version,
        )


class ErrorRow(Struct, omit_defaults=True):
    code: str
    detail: str
    pointer: str | None = None


class ResultRow(Struct, omit_defaults=True):
    row: int
    line: int
    outcome: str
    id: Any = None
    errors: list[ErrorRow] = []

    @classmethod
    def of(cls, result: RowResult) -> "ResultRow":
        errors = [ErrorRow(error.code, error.detail, error.pointer) for error in result.errors]
        return cls(result.row, result.line, result.outcome, result.id, errors)


_ROWS: Final[Mapping[str, Any]] = MappingProxyType(
    {"orders": OrderRow, "products": ProductRow, "events": FeedItemBody, "results": ResultRow}
)


@frozen
class NdjsonWriter:
    """One JSON object in each line. The first one is about the file."""

    def head(self, what: str, position: Position) -> bytes:
        return _ENCODER.encode({"as_of_position": position, "what": what}) + b"\n"

    def rows(self, what: str, rows: Sequence[Row]) -> bytes:
        row_of = _ROWS[what].of
        return _ENCODER.encode_lines([row_of(row) for row in rows]) if rows else b""


@frozen
class CsvWriter:
    """CSV as in RFC 4180, in UTF-8, with a comment as its first line. What is more than one value is JSON in a cell."""

    def head(self, what: str, position: Position) -> bytes:
        names = ",".join(_ROWS[what].__struct_fields__)
        return f"# as_of_position: {position}\r\n{names}\r\n".encode()

    def rows(self, what: str, rows: Sequence[Row]) -> bytes:
        row_of, text = _ROWS[what].of, StringIO()
        table = csv.writer(text)
        for row in rows:
            # What is not set has its cell as well.
            values = msgspec.to_builtins(row_of(row), enc_hook=plain)
            table.writerow([_cell(values.get(name)) for name in _ROWS[what].__struct_fields__])
        return text.getvalue().encode()


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return escaped(value)
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
    return _ENCODER.encode(value).decode()


def escaped(text: str) -> str:
    """Return the text so that no spreadsheet takes it for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def unescaped(text: str) -> str:
    """Return the text that `escaped` was given."""
    return text[1:] if _ESCAPED.match(text) else text


WRITERS: Final[Mapping[str, RowWriter]] = MappingProxyType({"csv": CsvWriter(), "ndjson": NdjsonWriter()})
