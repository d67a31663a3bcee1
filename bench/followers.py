"""Readers of the feed, in a process of their own. `python -m bench.followers PORT COUNT QUERY`.

They read until SIGTERM, and then print what they saw as one line of JSON. A line `following` says that all are there.
"""

import asyncio
import signal
import sys
import time
from datetime import datetime
from typing import Final

import msgspec
import uvloop
from attrs import define, field

READY: Final = "following"
_CONNECT_SECONDS: Final = 30.0


class Seen(msgspec.Struct, frozen=True):
    """What all readers saw together. An event that ten read counts ten times."""

    events: int
    # Positions that followed no other, and streams that ended.
    gaps: int
    ended: int
    # Of the milliseconds from an event to a reader, up to a thousand, evenly spread and in order.
    milliseconds: list[float]


class _Event(msgspec.Struct):
    position: int
    time: datetime


_DECODER: Final = msgspec.json.Decoder(_Event)
_SHOWN: Final = 1_000


@define(eq=False)
class Reader:
    """Reads one stream of all events."""

    events: int = field(default=0, init=False)
    gaps: int = field(default=0, init=False)
    ended: bool = field(default=False, init=False)
    milliseconds: list[float] = field(factory=list, init=False)
    _last: int = field(default=0, init=False)

    def take(self, data: bytes, now: float) -> None:
        event = _DECODER.decode(data)
        self.events += 1
        self.gaps += self._last not in {0, event.position - 1}
        self._last = event.position
        self.milliseconds.append(1000 * (now - event.time.timestamp()))

    async def follow(self, port: int, query: str, there: asyncio.Event) -> None:
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), _CONNECT_SECONDS)
        try:
            writer.write(f"GET /events/stream?{query} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _CONNECT_SECONDS)
            if b" 200 " not in head.partition(b"\r\n")[0]:
                raise AssertionError(f"a stream was refused: {head!r}")
            there.set()
            while line := await reader.readline():
                if line.startswith(b"data: "):
                    self.take(line[6:], time.time())
        finally:
            self.ended = True
            writer.close()


async def _follow_all(port: int, count: int, query: str) -> Seen:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    readers, there = [Reader() for _ in range(count)], [asyncio.Event() for _ in range(count)]
    tasks = [asyncio.create_task(reader.follow(port, query, each)) for reader, each in zip(readers, there, strict=True)]
    async with asyncio.timeout(_CONNECT_SECONDS):
        for each in there:
            await each.wait()
    print(READY, flush=True)
    await stop.wait()
    ended = sum(reader.ended for reader in readers)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    took = sorted(each for reader in readers for each in reader.milliseconds)
    return Seen(
        sum(reader.events for reader in readers),
        sum(reader.gaps for reader in readers),
        ended,
        [round(each, 2) for each in took[:: -(-len(took) // _SHOWN) or 1]],
    )


def main() -> None:
    port, count, query = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    print(msgspec.json.encode(uvloop.run(_follow_all(port, count, query))).decode())


if __name__ == "__main__":
    main()
