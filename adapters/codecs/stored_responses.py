"""Answers as bytes: what is kept under an idempotency key, for good.

Every later release has to read what this one writes: `schema` tells it how.
"""

from typing import Final

import msgspec

from application.ports.idempotency import Answer
from domain import errors
from domain.errors import DomainError
from domain.orders.order import Order

SCHEMA: Final = 1

# Those that have a code of their own: the others are told apart within the service, and not by whoever asks.
_REFUSALS: Final = {
    cls.code: cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, DomainError) and "code" in vars(cls)
}


class _Refusal(msgspec.Struct):
    code: str
    message: str
    field: str | None


class _Stored(msgspec.Struct, omit_defaults=True):
    """One of the two."""

    schema: int
    order: Order | None = None
    refusal: _Refusal | None = None


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(_Stored)


def encode(answer: Answer) -> bytes:
    if isinstance(answer, Order):
        return _ENCODER.encode(_Stored(SCHEMA, order=answer))
    return _ENCODER.encode(_Stored(SCHEMA, refusal=_Refusal(answer.code, str(answer), answer.field)))


def decode(stored: bytes | str) -> Answer:
    """Raise `ValueError` or `DomainError` for what is no answer that this version knows."""
    read = _DECODER.decode(stored)
    if read.schema == SCHEMA and read.order is not None:
        return read.order
    if read.schema == SCHEMA and read.refusal is not None and read.refusal.code in _REFUSALS:
        return _REFUSALS[read.refusal.code](read.refusal.message, field=read.refusal.field)
    raise ValueError("it is no answer that is known here")
