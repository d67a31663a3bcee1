"""Connections to RabbitMQ, over aio-pika. Every connection error is raised as `Trouble`, with a readable message.

aio-pika is used without its robust layer: a lost connection is closed with its channels and consumers, and a new one is
opened. Nothing is restored, so nothing can be restored wrongly.
"""

import asyncio
import random
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, cast
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import aio_pika
import aiormq
from aio_pika.abc import AbstractChannel, AbstractQueue
from aiormq.connection import TCPTransportFactory, TLSTransportFactory
from attrs import define, field, frozen
from pamqp.common import FieldTable
from yarl import URL

from adapters.hosts_in_urls import hosts_in
from adapters.rabbitmq.errors import translated
from adapters.rabbitmq.received import ClearReader
from application.errors import Misconfigured, Trouble, Unavailable
from application.execution.racing import first_to_succeed

# In seconds. A dead peer is detected after three missed heartbeats, about 33 seconds.
_HEARTBEAT: Final = "10"
# As many frames as one read of the socket returns. By default aiormq buffers ten, and a consumer then gets three
# messages at a time instead of fifty. aio-pika's channels have no option for it.
_FRAME_BUFFER: Final = 1024
# Seconds after which the next node is tried beside the one before, whose packets may be dropped.
_HEAD_START: Final = 0.2
_PORTS: Final = {"amqp": 5672, "amqps": 5671}
_UNUSABLE: Final = (
    "AMQP_URL can't be used: it should look like amqp://user:password@host:5672/vhost,"
    " with special characters in the password written as %XX"
)
# Errors of the broker or of the network.
_OF_THE_BROKER: Final = (aiormq.AMQPError, aiormq.ChannelInvalidStateError, OSError, EOFError)


@frozen(kw_only=True)
class Timeouts:
    """In seconds. `watch` is the pause between checks of a consumer or queue, `retry` the pause between attempts."""

    connect: float = 5.0
    answer: float = 5.0
    confirm: float = 10.0
    close: float = 2.0
    watch: float = 5.0
    retry: float = 1.0


@define(eq=False)
class ReconnectPacing:
    """Spaces out the attempts to connect, with jitter, so that the processes don't all reconnect at once."""

    _interval: float
    _not_before: float = field(default=0.0, init=False)

    async def wait(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._not_before - loop.time()))
        jitter = random.uniform(1.0, 1.5)  # noqa: S311 - no secret
        self._not_before = loop.time() + self._interval * jitter


class _Transport(aiormq.TransportFactory):
    """Hides from aiormq what the senders of messages have written (see received.py).

    It keeps the socket, to abort it if the broker is silent: a normal close would wait for a reply for ever.
    """

    writer: StreamWriter | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[StreamReader, StreamWriter]:
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self.writer = await factory.create(url, **kwargs)
        return cast("StreamReader", ClearReader(reader)), self.writer

    def cut(self) -> None:
        if self.writer is not None:
            self.writer.transport.abort()


@define(eq=False)
class BrokerConnection:
    """One connection to RabbitMQ. `where` is its host and port."""

    where: str
    timeouts: Timeouts
    _connection: aio_pika.Connection
    _transport: _Transport

    @classmethod
    async def open(cls, url: str, *, name: str, timeouts: Timeouts, last: str | None = None) -> "BrokerConnection":
        """Connect to one of the nodes that the URL names. The broker lists the connection under `name`.

        The nodes are raced, and each connection begins with any of them. So the connections are spread, and a node
        whose packets are dropped costs a moment. The node `last` is taken if no other answers. Raise `Unavailable`, or
        `Misconfigured`.
        """
        nodes = nodes_of(url)
        random.shuffle(nodes)
        if last is not None:
            nodes.sort(key=lambda node: _is_at(node, last))
        if len(nodes) == 1:
            return await cls._open(nodes[0], name, timeouts)
        attempts = [partial(cls._open, node, name, timeouts) for node in nodes]
        try:
            return await first_to_succeed(attempts, head_start=_HEAD_START, discard=cls.close)
        except ExceptionGroup as group:
            # No waiting mends a setting that is wrong, whatever the other nodes say.
            wrong = next((error for error in group.exceptions if isinstance(error, Misconfigured)), None)
            raise (wrong or Unavailable("; ".join(map(str, group.exceptions)))) from None

    @classmethod
    async def _open(cls, url: str, name: str, timeouts: Timeouts) -> "BrokerConnection":
        connection, where = _prepare(url, name)
        transport = _Transport()
        connection.kwargs["transport_factory"] = transport
        opened = cls(where, timeouts, connection, transport)
        try:
            async with opened.talking(timeouts.connect):
                await _connect(connection)
        except BaseException:
            transport.cut()
            # There is nothing to close any more. But aio-pika would try it when the object is garbage-collected.
            await connection.close()
            raise
        return opened

    @property
    def version(self) -> str:
        properties = self._underlay.server_properties
        return f"{properties.get('product', 'AMQP server')!s} {properties.get('version', 'of an unknown version')!s}"

    async def channel(self) -> AbstractChannel:
        """Open a channel for everything that is not done for each message.

        Reuse it: aio-pika keeps 4 KB of each closed channel until the connection is closed.
        """
        async with self.talking(self.timeouts.answer):
            return await self._connection.channel(publisher_confirms=False)

    async def queue(self, name: str) -> AbstractQueue:
        """Return a queue to inspect and fetch from, on its own channel: a missing queue makes RabbitMQ close that."""
        channel = await self.channel()
        return await channel.get_queue(name, ensure=False)

    async def underlay_channel(self, *, confirms: bool = False) -> aiormq.Channel:
        """Open a channel of aiormq, the library under aio-pika, for everything that is done for each message."""
        async with self.talking(self.timeouts.answer):
            channel = await self._underlay.channel(publisher_confirms=confirms, frame_buffer_size=_FRAME_BUFFER)
            return cast("aiormq.Channel", channel)

    @asynccontextmanager
    async def talking(self, seconds: float, *, lost: type[Trouble] = Unavailable) -> AsyncGenerator[None, None]:
        """Bound the time of a block that calls the broker, and translate its errors.

        Raise `lost` if the broker does not reply in time, or refuses: instead of `Unavailable`, `Misconfigured` if no
        waiting mends it, and `Missing` if there is no such queue. An error of our own code is raised unchanged.
        """
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise lost(f"RabbitMQ at {self.where} did not answer within {seconds:g} s") from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # This task was not cancelled: aiormq cancels whatever waits on a connection that it closes.
            raise lost(f"the connection to RabbitMQ at {self.where} was lost") from None
        except Trouble:
            raise
        except Exception as error:
            # If the connection was dropped, aiormq may raise a plain Exception, or the error of its frame parser.
            if not isinstance(error, _OF_THE_BROKER) and not self._is_closed:
                raise
            raise translated(error, self.where, lost) from error

    async def close(self) -> None:
        """Close the connection normally if the broker replies, and abort the socket otherwise. Never raise."""
        # Calls that still wait get this error. Without it, aiormq would cancel them.
        ours = aiormq.ConnectionClosed(200, "closed by this side")
        # In a task: even when it is cancelled, aio-pika waits until the connection is closed. If the broker is silent,
        # that happens only when the socket is aborted.
        closing = asyncio.create_task(self._connection.close(ours))
        closing.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            await asyncio.wait([closing], timeout=self.timeouts.close)
        finally:
            self._transport.cut()
        await asyncio.wait([closing], timeout=self.timeouts.close)

    @property
    def _underlay(self) -> aiormq.abc.AbstractConnection:
        transport = self._connection.transport
        if transport is None:
            raise aiormq.ConnectionClosed(200, "closed by this side")
        return transport.connection

    @property
    def _is_closed(self) -> bool:
        transport = self._connection.transport
        return transport is None or transport.connection.is_closed


async def _connect(connection: aio_pika.Connection) -> None:
    try:
        await connection.connect()
    except ValueError:
        # Raised, for example, if the name of the virtual host is too long.
        raise Misconfigured(_UNUSABLE) from None


def names_several_nodes(url: str) -> bool:
    """A URL that can't be used names none."""
    try:
        return len(nodes_of(url)) > 1
    except Misconfigured:
        return False


def nodes_of(url: str) -> list[str]:
    """The URL of each node, where one URL names several."""
    try:
        before, hosts, after = hosts_in(url)
    except ValueError:
        raise Misconfigured(_UNUSABLE) from None
    return [f"{before}{host}{after}" for host in hosts]


def virtual_host_of(url: str) -> str:
    """Return the virtual host that the URL names, as the broker calls it."""
    parts = urlsplit(nodes_of(url)[0])
    return unquote(parts.path.removeprefix("/")) or "/"


def _is_at(url: str, where: str) -> bool:
    try:
        return _host_and_port(urlsplit(url)) == where
    except (ValueError, KeyError):
        return False


def _host_and_port(parts: SplitResult) -> str:
    return f"{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"


def _prepare(url: str, name: str) -> tuple[aio_pika.Connection, str]:
    """Return the connection, not opened yet, and its host and port."""
    try:
        parts = urlsplit(url)
        where = _host_and_port(parts)
        query = urlencode({"heartbeat": _HEARTBEAT, **dict(parse_qsl(parts.query))})
        address = URL(parts._replace(query=query).geturl())
    except (ValueError, KeyError):
        # The cause is not repeated: it may quote a password. If that has a slash, a part of it is parsed as the port.
        raise Misconfigured(_UNUSABLE) from None
    if not parts.hostname:
        raise Misconfigured(_UNUSABLE)
    properties: FieldTable = {"connection_name": name, "product": "Holdfast"}
    return aio_pika.Connection(address, client_properties=properties), where
