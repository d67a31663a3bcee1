"""Responses as bytes, as they are stored under idempotency keys, for good.

Every later release has to read what this one writes; `schema` says how.
"""

from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from adapters.codecs.plain import plain
from adapters.codecs.shapes import OrderShape, ProductShape
from application.ports.idempotency import Answer
from domain import errors
from domain.catalogue.product import Product
from domain.errors import DomainError
from domain.orders.order import Order

SCHEMA: Final = 1

# The errors that have a code of their own. Clients can't tell the others apart.
_REFUSALS: Final = {
    cls.code: cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, DomainError) and "code" in vars(cls)
}


class _Refusal(msgspec.Struct):
    code: str
    message: str
    field: str | None
    # Since then, a refusal names all that is wrong.
    others: "list[_Refusal] | UnsetType" = UNSET


class _Stored(msgspec.Struct, omit_defaults=True):
    """Either an order, a product, or a refusal."""

    schema: int
    order: OrderShape | None = None
    refusal: _Refusal | None = None
    product: ProductShape | None = None


_ENCODER: Final = msgspec.json.Encoder(enc_hook=plain)
_DECODER: Final = msgspec.json.Decoder(_Stored)


def encode(answer: Answer) -> bytes:
    if isinstance(answer, Order):
        return _ENCODER.encode(_Stored(SCHEMA, order=OrderShape.of(answer)))
    if isinstance(answer, Product):
        return _ENCODER.encode(_Stored(SCHEMA, product=ProductShape.of(answer)))
    return _ENCODER.encode(_Stored(SCHEMA, refusal=_refusal(answer)))


def decode(stored: bytes | str) -> Answer:
    """Raise `ValueError` or `DomainError` for bytes that this version can't read as an answer."""
    read = _DECODER.decode(stored)
    if read.schema == SCHEMA and read.order is not None:
        return read.order.restored()
    if read.schema == SCHEMA and read.product is not None:
        return read.product.restored()
    if read.schema == SCHEMA and read.refusal is not None and read.refusal.code in _REFUSALS:
        return _error(read.refusal)
    raise ValueError("the stored response can't be read: its schema or its refusal code is unknown to this version")


def _refusal(error: DomainError) -> _Refusal:
    others = [_refusal(other) for other in error.others]
    return _Refusal(error.code, str(error), error.field, others or UNSET)


def _error(refusal: _Refusal) -> DomainError:
    error = _REFUSALS.get(refusal.code, DomainError)(refusal.message, field=refusal.field)
    error.others = tuple(_error(other) for other in refusal.others or ())
    return error
