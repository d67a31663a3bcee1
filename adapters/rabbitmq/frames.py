"""Encodes messages as frames of AMQP 0-9-1: the same bytes as pamqp's, in a fifth of the time.

A confirmed message costs 11 µs of CPU this way, and 20 if pamqp encodes it. Nothing private of pamqp is used;
tests/unit/adapters/test_frames.py compares the two encodings.
"""

from functools import lru_cache
from struct import Struct
from typing import Any, Final, NamedTuple

from pamqp import commands, encode, frame

_FRAME: Final = Struct(">BHI")
_END: Final = b"\xce"
_HEADER, _BODY = 2, 3

_LENGTH: Final = Struct(">I")

# The class Basic, a weight that is always 0, the size of the body, and the flags of the properties that follow.
_HEAD: Final = Struct(">HHQH")
_BASIC: Final = 60
_CONTENT_TYPE, _HEADERS, _DELIVERY_MODE, _MESSAGE_ID, _TYPE = 1 << 15, 1 << 13, 1 << 12, 1 << 7, 1 << 5
_PERSISTENT: Final = b"\x02"


class Message(NamedTuple):
    """A message to an exchange. The nameless default exchange routes it to the queue named by the routing key.

    A `mandatory` message that can't be routed is returned by the broker. It is a tuple, since a frozen class of attrs
    takes 0.8 µs to make, and a tuple a third of that.
    """

    routing_key: str
    body: bytes
    type: str | None
    # Or the entries of their table as `header` encodes them: an event's, since each takes pamqp 1 µs more.
    headers: dict[str, Any] | bytes
    exchange: str = ""
    mandatory: bool = True


def publishing(message: Message, *, id_: str, channel: int, max_size: int) -> bytes:
    """Return the frames that publish a message, joined. Each frame has at most `max_size` bytes of the body."""
    flags = _CONTENT_TYPE | _HEADERS | _DELIVERY_MODE | _MESSAGE_ID
    type_ = b""
    if message.type:
        flags |= _TYPE
        type_ = _short(message.type)
    body = message.body
    head = _HEAD.pack(_BASIC, 0, len(body), flags)
    properties = b"".join((head, _JSON, _table(message.headers), _PERSISTENT, _short(id_), type_))
    # One join of all parts, since each joining of two copies them.
    parts = [
        _command(channel, message.exchange, message.routing_key, message.mandatory),
        *(_FRAME.pack(_HEADER, channel, len(properties)), properties, _END),
    ]
    for start in range(0, len(body), max_size):
        chunk = body[start : start + max_size]
        parts += (_FRAME.pack(_BODY, channel, len(chunk)), chunk, _END)
    return b"".join(parts)


# There are few different commands: one for each type of event, and one for each queue.
@lru_cache(256)
def _command(channel: int, exchange: str, routing_key: str, mandatory: bool) -> bytes:  # noqa: FBT001 - a field of the command
    command = commands.Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory)
    return frame.marshal(command, channel)


def header(name: str, value: str) -> bytes:
    """Encode an entry of a table of headers."""
    data = value.encode()
    return header_key(name) + _LENGTH.pack(len(data)) + data


# There are about a dozen names.
@lru_cache(256)
def header_key(name: str) -> bytes:
    """Encode the name of a header whose value is text; the value's length and the value follow."""
    return _short(name) + b"S"


def _table(headers: dict[str, Any] | bytes) -> bytes:
    return _LENGTH.pack(len(headers)) + headers if isinstance(headers, bytes) else encode.field_table(headers)


def _short(text: str) -> bytes:
    """Encode a short string, of at most 255 bytes."""
    data = text.encode()
    return len(data).to_bytes(1, "big") + data


_JSON: Final = _short("application/json")
