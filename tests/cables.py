"""A TCP proxy between a client and a server, with which a test can break the connection in several ways."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

from attrs import define, field

# The timeout of every wait in these tests: far more than anything here takes.
PATIENCE = 120.0

_PORTS = {"amqp": 5672, "postgresql": 5432}


@define(eq=False)
class _Pair:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    flowing: asyncio.Event = field(factory=asyncio.Event)
    answering: asyncio.Event = field(factory=asyncio.Event)
    loses_answers: bool = False

    def abort(self) -> None:
        self.flowing.set()
        self.client.transport.abort()
        self.server.transport.abort()


@define(eq=False)
class Cable:
    """A TCP proxy in front of a server, which can be cut, silenced and pulled out."""

    url: str
    plugged: bool = True
    silent_from_now: bool = False
    # Seconds that everything takes more, in each direction.
    delay: float = 0.0
    # Once: a connection that sends these bytes is cut when the server answers, and not before.
    loses_answer_to: bytes | None = None
    # What the server says, and what arrives instead; and how often that has happened.
    replaces: tuple[bytes, bytes] | None = None
    replaced: int = 0
    # How often data came that did not go on at once.
    held_back: int = 0
    _pairs: list[_Pair] = field(factory=list)

    def cut(self) -> None:
        """End every connection; new ones are let through if it is plugged."""
        for pair in self._pairs:
            pair.abort()
        self._pairs.clear()

    def silence(self) -> None:
        """Open connections stay open but pass nothing on. New ones work."""
        for pair in self._pairs:
            pair.flowing.clear()

    def silence_answers(self) -> None:
        """Requests arrive, and responses do not."""
        for pair in self._pairs:
            pair.answering.clear()

    def restore(self) -> None:
        """Restore the cable. Data that was held back arrives now, as TCP resends lost data."""
        self.plugged, self.silent_from_now, self.delay, self.loses_answer_to = True, False, 0.0, None
        for pair in self._pairs:
            pair.flowing.set()
            pair.answering.set()

    def cut_silent(self) -> None:
        """Cut the silent connections, as the broker does after missed heartbeats."""
        for pair in self._pairs:
            if not pair.flowing.is_set():
                pair.abort()

    def connections(self) -> int:
        """Those through which something goes."""
        return sum(pair.flowing.is_set() and not pair.client.transport.is_closing() for pair in self._pairs)


@asynccontextmanager
async def cable(url: str) -> AsyncIterator[Cable]:
    parts = urlsplit(url)
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not wire.plugged:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(parts.hostname, parts.port or _PORTS[parts.scheme])
        except OSError:
            writer.transport.abort()
            return
        wire._pairs[:] = [pair for pair in wire._pairs if not pair.client.transport.is_closing()]  # noqa: SLF001 - as below
        pair = _Pair(writer, far_writer)
        pair.answering.set()
        if not wire.silent_from_now:
            pair.flowing.set()
        wire._pairs.append(pair)  # noqa: SLF001 - this is its other half
        for pump in (_to_server(reader, pair, wire), _to_client(far_reader, pair, wire)):
            task = asyncio.create_task(pump)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    userinfo, at, _ = parts.netloc.rpartition("@")
    wire = Cable(urlunsplit(parts._replace(netloc=f"{userinfo}{at}127.0.0.1:{port}")))
    try:
        yield wire
    finally:
        server.close()
        wire.cut()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(PATIENCE):
            await server.wait_closed()


def both(first: Cable, second: Cable) -> str:
    """One URL that names the two as hosts of one server."""
    parts = urlsplit(first.url)
    return urlunsplit(parts._replace(netloc=f"{parts.netloc},{urlsplit(second.url).netloc.rpartition('@')[2]}"))


async def _to_server(source: asyncio.StreamReader, pair: _Pair, wire: Cable) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            await asyncio.sleep(wire.delay)
            if not pair.flowing.is_set():
                wire.held_back += 1
            await pair.flowing.wait()
            if wire.loses_answer_to is not None and wire.loses_answer_to in data:
                pair.loses_answers, wire.loses_answer_to = True, None
            pair.server.write(data)
            await pair.server.drain()
    # Not even a close goes through.
    await pair.flowing.wait()
    pair.abort()


async def _to_client(source: asyncio.StreamReader, pair: _Pair, wire: Cable) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            await asyncio.sleep(wire.delay)
            await pair.flowing.wait()
            await pair.answering.wait()
            if pair.loses_answers:
                break
            if wire.replaces is not None and wire.replaces[0] in data:
                data, wire.replaced = data.replace(*wire.replaces), wire.replaced + 1
            pair.client.write(data)
            await pair.client.drain()
    await pair.flowing.wait()
    pair.abort()
