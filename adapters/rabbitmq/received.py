"""Receives messages in such a way that nothing in a message can break the connection.

aiormq decodes the frames of a connection as it reads them, and an error there ends the connection. A message that
can't be decoded would come again on the next connection, and end that one, too. So everything in a delivery that its
sender has written is hidden from aiormq: the exchange and the routing key are blank, and the properties become one
header, which has them undecoded. `Received` decodes them, for each message alone.

aiormq hands a transport on (`aiormq.TransportFactory`), and reads it with the methods that `ClearReader` has.
tests/unit/adapters/test_aiormq_internals.py names what has changed.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Mapping
from struct import Struct
from types import MappingProxyType
from typing import Any, Final

from aiormq.abc import DeliveredMessage
from attrs import define, field, frozen
from pamqp import decode

_CHUNK: Final = 2**18
_FRAME: Final = Struct(">BHI")
_END: Final = b"\xce"
_METHOD, _HEADER, _KINDS = 1, 2, frozenset({1, 2, 3, 8})
_DELIVER, _GET_OK = b"\x00\x3c\x00\x3c", b"\x00\x3c\x00\x47"
# The delivery tag and the flag "redelivered".
_TAG_AND_FLAG: Final = 9
# Of a header: the class, the weight and the size of the body. The flags of the properties follow.
_SIZES: Final = 12
_ONLY_HEADERS: Final = (1 << 13).to_bytes(2, "big")
_UNDECODED: Final = "undecoded"
_KEY: Final = bytes([len(_UNDECODED)]) + _UNDECODED.encode() + b"x"
_LENGTH: Final = Struct(">I")

# pamqp takes a time that grows with the square of the size. Our own properties have about 200 bytes.
_LARGEST: Final = 16 * 1024
# Bytes that a dead letter shows of properties that can't be decoded.
_SHOWN: Final = 900
# These mean that the body is as it is. Some clients always send the second.
_PLAIN: Final = frozenset({"", "utf-8", "identity"})
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


@frozen
class Received:
    """A message as its sender wrote it. If `problem` is set, its properties can't be used, and are empty here."""

    body: bytes
    type: str | None = None
    headers: Mapping[str, Any] = _NONE
    problem: str | None = None

    @classmethod
    def of(cls, message: DeliveredMessage) -> "Received":
        """Never raise, whatever the message is."""
        headers: dict[str, Any] = message.header.properties.headers or {}
        undecoded = bytes(headers.get(_UNDECODED, b""))
        if len(undecoded) > _LARGEST:
            return cls(
                message.body,
                problem=_problem(f"have {len(undecoded)} bytes, and at most {_LARGEST} are read", undecoded),
            )
        try:
            found = _decoded(undecoded)
        except Exception as error:  # noqa: BLE001 - pamqp raises what Python raises, also OverflowError and RecursionError
            return cls(message.body, problem=_problem(f"can't be decoded ({type(error).__name__}: {error})", undecoded))
        encoding = found.get("content_encoding", "")
        if encoding.lower() not in _PLAIN:
            return cls(message.body, problem=f"BadMessage: its body has the encoding {encoding!r}, which isn't read")
        return cls(message.body, found.get("type"), found.get("headers", _NONE))


def _short(data: bytes) -> tuple[int, str]:
    # pamqp's takes three times as long.
    end = 1 + data[0]
    return end, data[1:end].decode()


# Each property with its flag and its decoder, in the order in which they are sent.
_PROPERTIES: Final[tuple[tuple[int, str, Callable[[bytes], tuple[int, Any]]], ...]] = (
    (1 << 15, "content_type", _short),
    (1 << 14, "content_encoding", _short),
    (1 << 13, "headers", decode.field_table),
    (1 << 12, "delivery_mode", decode.octet),
    (1 << 11, "priority", decode.octet),
    (1 << 10, "correlation_id", _short),
    (1 << 9, "reply_to", _short),
    (1 << 8, "expiration", _short),
    (1 << 7, "message_id", _short),
    (1 << 6, "timestamp", decode.timestamp),
    (1 << 5, "type", _short),
    (1 << 4, "user_id", _short),
    (1 << 3, "app_id", _short),
    (1 << 2, "cluster_id", _short),
)


def _decoded(header: bytes) -> dict[str, Any]:
    """All properties are decoded, also those that mean nothing here: a sender whose bytes are wrong is told so."""
    flags, rest = int.from_bytes(header[_SIZES : _SIZES + 2], "big"), header[_SIZES + 2 :]
    found = {}
    for flag, name, decoded in _PROPERTIES:
        if flags & flag:
            size, found[name] = decoded(rest)
            if size > len(rest):
                raise ValueError(f"{name} is cut off")
            rest = rest[size:]
    return found


def _problem(words: str, undecoded: bytes) -> str:
    properties = undecoded[_SIZES:]
    shown = b64encode(properties[:_SHOWN]).decode()
    more = f" and {len(properties) - _SHOWN} more bytes" if len(properties) > _SHOWN else ""
    return f"BadMessage: its properties {words}; in base64 they are {shown}{more}"


@define(eq=False)
class Clearing:
    """Takes the bytes of a connection in any pieces, and returns the frames that are complete, cleared."""

    _partial: bytes = field(default=b"", init=False)
    # The channels on which the properties of a delivery come next. A message that comes back to its sender is ours.
    _delivering: set[int] = field(factory=set, init=False)

    def __call__(self, data: bytes) -> bytes:
        data = self._partial + data
        frames, at, size = [], 0, len(data)
        while size - at >= _FRAME.size:
            kind, channel, length = _FRAME.unpack_from(data, at)
            end = at + _FRAME.size + length + len(_END)
            if kind not in _KINDS:
                # That is no frame. aiormq says what is wrong.
                end = size
            elif end > size:
                break
            frame = data[at:end]
            if kind == _METHOD:
                frame = self._of_method(channel, frame)
            elif kind == _HEADER and channel in self._delivering:
                self._delivering.remove(channel)
                frame = _of_properties(channel, frame)
            frames.append(frame)
            at = end
        self._partial = data[at:]
        return b"".join(frames)

    def _of_method(self, channel: int, frame: bytes) -> bytes:
        method = frame[7:11]
        if method == _DELIVER:
            self._delivering.add(channel)
            # After the tag of the consumer, a short string.
            return _frame(_METHOD, channel, frame[7 : 12 + frame[11] + _TAG_AND_FLAG] + b"\0\0")
        if method == _GET_OK:
            self._delivering.add(channel)
            # Before the number of messages that are left.
            return _frame(_METHOD, channel, frame[7 : 11 + _TAG_AND_FLAG] + b"\0\0" + frame[-5:-1])
        self._delivering.discard(channel)
        return frame


def _of_properties(channel: int, frame: bytes) -> bytes:
    undecoded = frame[7:-1]
    header = _KEY + _LENGTH.pack(len(undecoded)) + undecoded
    return _frame(_HEADER, channel, undecoded[:_SIZES] + _ONLY_HEADERS + _LENGTH.pack(len(header)) + header)


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return _FRAME.pack(kind, channel, len(payload)) + payload + _END


@define(eq=False)
class ClearReader:
    """Stands before the reader of a connection, and returns its bytes after `Clearing`."""

    _reader: asyncio.StreamReader
    _clearing: Clearing = field(factory=Clearing, init=False)
    _clear: bytes = field(default=b"", init=False)
    _at: int = field(default=0, init=False)

    def at_eof(self) -> bool:
        return self._at == len(self._clear) and self._reader.at_eof()

    async def readexactly(self, count: int) -> bytes:
        while self._at + count > len(self._clear):
            if not await self._fill():
                raise asyncio.IncompleteReadError(self._clear[self._at :], count)
        self._at += count
        return self._clear[self._at - count : self._at]

    async def read(self) -> bytes:
        """Everything until the end of the connection."""
        while await self._fill():
            pass
        rest, self._clear, self._at = self._clear[self._at :], b"", 0
        return rest

    async def _fill(self) -> bool:
        data = await self._reader.read(_CHUNK)
        self._clear, self._at = self._clear[self._at :] + self._clearing(data), 0
        return bool(data)
