"""Receivers of webhooks, in a process of its own. `python -m bench.receivers PORT`.

The path says how a receiver behaves: `/counted/N` and `/other/N` answer 204, `/broken/N` answers 500, and `/hangs/N`
never answers. They receive until SIGTERM, and then print what the counted ones saw as one line of JSON. A line
`receiving` says that they are there.
"""

import asyncio
import re
import signal
import sys
import time
from datetime import datetime
from typing import Final

import msgspec
import uvloop
from attrs import define, field

READY: Final = "receiving"
_REQUEST: Final = re.compile(rb"POST /(\w+)/(\d+) HTTP/1\.1\r\n")
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"
_BACKLOG: Final = 1024


class Received(msgspec.Struct, frozen=True):
    """What the counted receivers saw together. `again` are deliveries that one of them had already."""

    events: int
    again: int
    # For each delivery, from the event's own time until it was received.
    milliseconds: list[float]


class _Event(msgspec.Struct):
    position: int
    time: datetime


_DECODER: Final = msgspec.json.Decoder(_Event)


@define(eq=False)
class Receivers:
    """All of them. What each delivery took is known by its receiver and its position."""

    milliseconds: dict[tuple[int, int], float] = field(factory=dict, init=False)
    again: int = field(default=0, init=False)

    def take(self, receiver: int, body: bytes, now: float) -> None:
        event = _DECODER.decode(body)
        key = (receiver, event.position)
        if key in self.milliseconds:
            self.again += 1
        else:
            self.milliseconds[key] = 1000 * (now - event.time.timestamp())

    def seen(self) -> Received:
        return Received(len(self.milliseconds), self.again, [round(each, 2) for each in self.milliseconds.values()])


@define(eq=False)
class _Connection(asyncio.Protocol):
    _receivers: Receivers
    _transport: asyncio.Transport = field(init=False)
    _received: bytes = field(default=b"", init=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # it is one of TCP

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(_HEAD_END)
        length = _LENGTH.search(head)
        if not end or length is None or len(body) < int(length[1]):
            return
        request = _REQUEST.match(head)
        kind = request[1] if request else b"unknown"
        if request and kind == b"counted":
            self._receivers.take(int(request[2]), body, time.time())
        if kind == b"hangs":
            return
        status = b"204 No Content" if kind in {b"counted", b"other"} else b"500 Internal Server Error"
        length_of_none = b"" if status.startswith(b"204") else b"Content-Length: 0\r\n"
        self._transport.write(b"HTTP/1.1 " + status + b"\r\n" + length_of_none + b"Connection: close\r\n\r\n")
        self._transport.close()


async def _receive(port: int) -> Received:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    receivers = Receivers()
    await loop.create_server(lambda: _Connection(receivers), "127.0.0.1", port, backlog=_BACKLOG)
    print(READY, flush=True)
    await stop.wait()
    return receivers.seen()


def main() -> None:
    print(msgspec.json.encode(uvloop.run(_receive(int(sys.argv[1])))).decode())


if __name__ == "__main__":
    main()
