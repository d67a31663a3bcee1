"""Events as bytes, for the broker and for the database.

A message is one JSON object: `type` and `schema`, then the fields of the event.
"""

import re
from typing import Final

import msgspec
from attrs import evolve

from adapters.codecs.event_shapes import EVENT_SHAPES, EventShape
from adapters.codecs.plain import plain
from application.execution.working_for import TracedId, traceparent_of
from domain.errors import DomainError
from domain.orders.events import EVENT_TYPES, Event

SCHEMA: Final = 1
MAX_BYTES: Final = 256 * 1024

# A sequence number is a column of 32 bits. In these years a moment exists in every time zone.
_MAX_SEQUENCE: Final = 2**31 - 1
# More than the HTTP interface takes.
_LONGEST_REQUEST_ID: Final = 255
_FIRST_YEAR, _LAST_YEAR = 1970, 9998

_PREFIXES: Final = {kind: f'{{"type":"{kind.type}","schema":{SCHEMA},'.encode() for kind in EVENT_TYPES}
_ENCODER: Final = msgspec.json.Encoder(enc_hook=plain)
# The last member of an event whose trace is kept. Only what is sampled is.
_TRACED: Final = re.compile(rb',"traceparent":"(00-[0-9a-f]{32}-[0-9a-f]{16}-01)"\}\Z')
_TRACED_END: Final = b'-01"}'
_TRACED_END_OF_TEXT: Final = _TRACED_END.decode()
_LONGEST_TRACED: Final = 80


class BadMessage(Exception):
    """Bytes that this version can't read as an event."""


class NotJson(BadMessage):
    """Bytes of somebody else: no release has ever written them, and none will read them."""


class FromLaterRelease(BadMessage):
    """An event of a type, or in a schema, that only a later release knows."""


class _Head(msgspec.Struct):
    type: str
    schema: int


_HEAD: Final = msgspec.json.Decoder(_Head)
_KINDS: Final[dict[str, type[Event]]] = {kind.type: kind for kind in EVENT_TYPES}
_DECODERS: Final[dict[str, msgspec.json.Decoder[EventShape]]] = {
    kind.type: msgspec.json.Decoder(shape) for kind, shape in EVENT_SHAPES.items()
}


def encode(event: Event) -> bytes:
    # The JSON object of its shape, with two members put in front.
    body = _PREFIXES[type(event)] + _ENCODER.encode(EVENT_SHAPES[type(event)].of(event))[1:]
    traceparent = traceparent_of(event.request_id)
    return body if traceparent is None else b'%b,"traceparent":"%b"}' % (body[:-1], traceparent.encode())


def traceparent_in(body: bytes | str) -> str | None:
    """Return the place in a trace that an encoded event names."""
    # Most have none, and to look at the end alone is faster than to match.
    if not (body.endswith(_TRACED_END) if isinstance(body, bytes) else body.endswith(_TRACED_END_OF_TEXT)):
        return None
    end = body[-_LONGEST_TRACED:]
    found = _TRACED.search(end.encode(errors="replace") if isinstance(end, str) else end)
    return found[1].decode() if found else None


def decode(body: bytes | str) -> Event:
    """Raise `BadMessage`, which names what is wrong."""
    if len(body) > MAX_BYTES:
        raise BadMessage(f"a message has at most {MAX_BYTES} bytes, this one {len(body)}")
    try:
        head = _HEAD.decode(body)
        if head.schema != SCHEMA:
            kind = FromLaterRelease if head.schema > SCHEMA else BadMessage
            raise kind(f"schema {head.schema} is unknown; this version reads schema {SCHEMA}")
        if head.type not in _DECODERS:
            raise FromLaterRelease(f"type {head.type!r} is unknown to this version")
        event = _DECODERS[head.type].decode(body).restored(_KINDS[head.type])
        _expect_storable(event)
        if event.request_id and (traceparent := traceparent_in(body)):
            event = evolve(event, request_id=TracedId.of(event.request_id, traceparent))
    except (DomainError, RecursionError, ValueError) as error:
        raise _kind_of(error)(str(error)) from error
    return event


def _kind_of(error: Exception) -> type[BadMessage]:
    # A body that is JSON and no event is a `ValidationError`, which is a `DecodeError`, too.
    is_json = not isinstance(error, msgspec.DecodeError | UnicodeError) or isinstance(error, msgspec.ValidationError)
    return BadMessage if is_json else NotJson


def _expect_storable(event: Event) -> None:
    """No database can store these, and a message that can't be recorded would be tried again and again."""
    if not 0 <= event.sequence <= _MAX_SEQUENCE:
        raise BadMessage(f"a sequence number is between 0 and {_MAX_SEQUENCE}, not {event.sequence}")
    if event.at.tzinfo is None or not _FIRST_YEAR <= event.at.year <= _LAST_YEAR:
        raise BadMessage(f"{event.at} is no moment that can be stored")
    id_ = event.request_id
    if id_ is not None and not (len(id_) <= _LONGEST_REQUEST_ID and id_.isascii() and id_.isprintable()):
        raise BadMessage(f"a request id has at most {_LONGEST_REQUEST_ID} printable ASCII characters")


def decode_if_readable(body: bytes) -> Event | None:
    """The event, or None where `decode` would refuse."""
    try:
        return decode(body)
    except BadMessage:
        return None
