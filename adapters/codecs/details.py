"""The details of an order as JSON, in the shape in which events have them, too."""

from typing import Final

import msgspec

from adapters.codecs.plain import plain
from adapters.codecs.shapes import DetailsShape
from domain.orders.details import OrderDetails

_ENCODER: Final = msgspec.json.Encoder(enc_hook=plain)
_DECODER: Final = msgspec.json.Decoder(DetailsShape)


def encode(details: OrderDetails) -> str:
    return _ENCODER.encode(DetailsShape.of(details)).decode()


def decode(stored: str) -> OrderDetails:
    """Raise `ValueError` for what this version can't read."""
    return _DECODER.decode(stored).restored()
