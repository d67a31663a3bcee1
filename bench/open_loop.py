"""An open-loop load generator: each request is due at its time, whether the server keeps up or not.

A client that waits for its answer before it asks again slows down with the server, and so hides the server's queue.
Here the times are fixed beforehand, and the clock of a request runs from when it was due: time that it spends waiting
for a free connection counts as well. Answers are looked for once in a millisecond. One core is good for more than
10,000 requests a second.
"""

import asyncio
import re
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, cast

import uvloop
from attrs import define, field, frozen

# Used instead of a status where there was no response.
RESET: Final = -1
"""The connection ended before the answer did, or could not be had."""
GIVEN_UP: Final = -2
"""The client's timeout expired."""

_TICK: Final = 0.001
_SWEEP: Final = 0.05
# How long a server may take to accept the first connections.
_CONNECT_SECONDS: Final = 60.0
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSES: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"


@frozen(kw_only=True)
class Load:
    """What is asked, when, and of whom."""

    port: int
    rate: Callable[[float], float]
    """Requests a second that are due so many seconds after the beginning."""
    seconds: float
    request: Callable[[int], bytes]
    """The bytes of the n-th request, counted from 0: HTTP/1.1 that keeps its connection."""
    host: str = "127.0.0.1"
    connections: int = 1000
    timeout: float = 5.0
    """The client's timeout in seconds, from when a request was due. The client then closes the connection."""
    looks: Sequence[tuple[float, Callable[[], None]]] = ()
    """What is called so many seconds after the beginning: soon done, since nothing is sent meanwhile."""


@frozen
class Result:
    """One entry for each request, in three columns: when it was due, how it was answered, after how many seconds."""

    due: "array[float]"
    status: "array[int]"
    latency: "array[float]"

    def between(self, start: float, end: float) -> "Result":
        """What was due in this span."""
        return self._where(lambda due, _: start <= due < end)

    def answered_between(self, start: float, end: float) -> "Result":
        """What was answered, or given up, in this span."""
        return self._where(lambda due, latency: start <= due + latency < end)

    def _where(self, chosen: Callable[[float, float], bool]) -> "Result":
        part = _empty()
        for due, status, latency in zip(self.due, self.status, self.latency, strict=True):
            if chosen(due, latency):
                part.add(due, status, latency)
        return part

    def add(self, due: float, status: int, latency: float) -> None:
        self.due.append(due)
        self.status.append(status)
        self.latency.append(latency)

    def by_status(self) -> Counter[int]:
        return Counter(self.status)

    def good(self, *, within: float, statuses: Collection[int] = (201, 202)) -> int:
        """How many were answered as they should be, and in time."""
        return sum(
            status in statuses and latency <= within for status, latency in zip(self.status, self.latency, strict=True)
        )

    def percentile(self, share: float, statuses: Collection[int] | None = None) -> float:
        """Seconds within which this share of the requests, or of those with these statuses, had their outcome."""
        chosen = sorted(
            latency
            for status, latency in zip(self.status, self.latency, strict=True)
            if statuses is None or status in statuses
        )
        return chosen[min(int(share * len(chosen)), len(chosen) - 1)] if chosen else float("nan")


def run(load: Load) -> Result:
    """Send it all, from an event loop of its own, and wait for the answers."""
    return uvloop.run(open_loop(load))


async def open_loop(load: Load) -> Result:
    """As `run`, in the caller's event loop, which should have nothing else to do."""
    return await _Clients(load).run()


def post(path: str, body: bytes, *, host: str = "127.0.0.1") -> bytes:
    """The bytes of a request with a JSON body."""
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _empty() -> Result:
    return Result(array("d"), array("h"), array("d"))


@define(eq=False)
class _Clients:
    _load: Load
    _result: Result = field(factory=_empty, init=False)
    # Due and not sent yet, for want of a free connection: when, and its number.
    _waiting: deque[tuple[float, int]] = field(factory=deque, init=False)
    _free: "deque[_Connection]" = field(factory=deque, init=False)
    _busy: "set[_Connection]" = field(factory=set, init=False)
    _all: "set[_Connection]" = field(factory=set, init=False)
    _opening: set[asyncio.Task[None]] = field(factory=set, init=False)
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)
    _begin: float = field(default=0.0, init=False)

    async def run(self) -> Result:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await asyncio.gather(*(self._connect() for _ in range(self._load.connections)))
        self._begin = self._loop.time()
        sweeping = self._loop.create_task(self._sweep_for_ever())
        for moment, look in self._load.looks:
            self._loop.call_at(self._begin + moment, look)
        try:
            for due, number in self._due():
                while self._now() < due:
                    # Sleep instead of waiting for a response. On one machine the server would pay for waking this
                    # process, which is half of the cost of a refusal.
                    time.sleep(_TICK)  # noqa: ASYNC251 - the loop has nothing else to do
                    await asyncio.sleep(0)
                self._waiting.append((due, number))
                self._send()
            while self._waiting or self._busy:  # noqa: ASYNC110 - an event would have to be set wherever these change
                await asyncio.sleep(_SWEEP)
        finally:
            await self._close({sweeping, *self._opening})
        return self._result

    async def _close(self, tasks: set[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        # Before the connections: one of the tasks may have just opened another.
        await asyncio.wait(tasks)
        closing, self._all = self._all, set()
        # A connection that is not among all is not replaced when it is lost.
        for connection in closing:
            connection.close()

    def made(self, connection: "_Connection") -> None:
        self._all.add(connection)
        self._free.append(connection)
        self._send()

    def answered(self, connection: "_Connection", status: int, *, again: bool) -> None:
        """`again`: whether the connection can be used for another request; it is replaced otherwise."""
        if connection in self._busy:
            self._busy.discard(connection)
            self._result.add(connection.due, status, self._now() - connection.due)
        if again:
            self._free.append(connection)
            self._send()
        elif connection in self._all:
            self._all.discard(connection)
            connection.close()
            task = self._loop.create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _now(self) -> float:
        return self._loop.time() - self._begin

    def _due(self) -> Iterator[tuple[float, int]]:
        due, number = 0.0, 0
        while due < self._load.seconds:
            rate = self._load.rate(due)
            if rate <= 0:
                due += _SWEEP
                continue
            yield due, number
            due, number = due + 1 / rate, number + 1

    def _send(self) -> None:
        while self._waiting and self._free:
            connection = self._free.popleft()
            if connection in self._all:
                due, number = self._waiting.popleft()
                self._busy.add(connection)
                connection.ask(due, self._load.request(number))

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP)
            now = self._now()
            since = now - self._load.timeout
            while self._waiting and self._waiting[0][0] < since:
                due, _ = self._waiting.popleft()
                self._result.add(due, GIVEN_UP, now - due)
            for connection in [connection for connection in self._busy if connection.due < since]:
                self.answered(connection, GIVEN_UP, again=False)

    async def _connect(self) -> None:
        while True:
            try:
                await self._loop.create_connection(lambda: _Connection(self), self._load.host, self._load.port)
            except OSError:
                await asyncio.sleep(_SWEEP)
            else:
                return


@define(eq=False)
class _Connection(asyncio.Protocol):
    _clients: _Clients
    due: float = field(default=0.0, init=False)
    _transport: asyncio.WriteTransport = field(init=False)
    _received: bytes = field(default=b"", init=False)

    def ask(self, due: float, request: bytes) -> None:
        self.due = due
        self._transport.write(request)

    def close(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._clients.made(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it was lost
        self._clients.answered(self, RESET, again=False)

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_HEAD_END)
        if end < 0:
            return
        head = self._received[: end + 2]
        length = _LENGTH.search(head)
        if len(self._received) < end + len(_HEAD_END) + (int(length[1]) if length else 0):
            return
        self._received = b""
        # As in "HTTP/1.1 201 Created".
        self._clients.answered(self, int(head[9:12]), again=_CLOSES.search(head) is None)
