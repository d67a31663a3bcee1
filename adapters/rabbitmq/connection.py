"""Connections to RabbitMQ, over aio-pika. Whatever goes wrong with one leaves here as `Trouble`, in words.

aio-pika is taken without its robust layer: a connection that is lost is given up, with everything that hung on it,
and a new one is opened. There is nothing to restore, and so nothing that is restored wrongly.
"""

import asyncio
import random
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import aio_pika
import aiormq
from aio_pika.abc import AbstractChannel, AbstractQueue
from aiormq.connection import TCPTransportFactory, TLSTransportFactory
from attrs import define, field, frozen
from pamqp.common import FieldTable
from yarl import URL

from application.errors import Trouble, Unavailable

# A dead peer is seen after three of them, about 33 seconds.
_HEARTBEAT: Final = "10"
# As many as a socket brings in one go. With the ten that a channel has by default, and that can't be said to one of
# aio-pika's, a consumer finds three messages at a time where it could have fifty.
_FRAME_BUFFER: Final = 1024
_PORTS: Final = {"amqp": 5672, "amqps": 5671}
_UNUSABLE: Final = (
    "AMQP_URL can't be used: it should look like amqp://user:password@host:5672/vhost,"
    " with special characters in the password written as %XX"
)
# What the broker, and the way to it, can do wrong.
_OF_THE_BROKER: Final = (aiormq.AMQPError, aiormq.ChannelInvalidStateError, OSError, EOFError)


@frozen(kw_only=True)
class Timeouts:
    """Seconds: how long each thing may take, and how often it is done."""

    connect: float = 5.0
    answer: float = 5.0
    confirm: float = 10.0
    close: float = 2.0
    watch: float = 5.0
    retry: float = 1.0


@define(eq=False)
class ReconnectPacing:
    """Keeps attempts to connect at a distance from each other, with jitter, so that not all come back at once."""

    _interval: float
    _not_before: float = field(default=0.0, init=False)

    async def wait(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._not_before - loop.time()))
        jitter = random.uniform(1.0, 1.5)  # noqa: S311 - it spreads load, and guards nothing
        self._not_before = loop.time() + self._interval * jitter


class _Transport(aiormq.TransportFactory):
    """Remembers the socket: one that is silent must be cut, for it would never be closed in good order."""

    writer: StreamWriter | None = None

    async def create(self, url: URL, **kwargs: Any) -> tuple[StreamReader, StreamWriter]:
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, self.writer = await factory.create(url, **kwargs)
        return reader, self.writer

    def cut(self) -> None:
        if self.writer is not None:
            self.writer.transport.abort()


@define(eq=False)
class BrokerConnection:
    """One connection."""

    where: str
    timeouts: Timeouts
    _connection: aio_pika.Connection
    _transport: _Transport

    @classmethod
    async def open(cls, url: str, *, name: str, timeouts: Timeouts) -> "BrokerConnection":
        """`name` is what the broker's list of connections shows. Raise `Unavailable`."""
        connection, where = _prepare(url, name)
        transport = _Transport()
        connection.kwargs["transport_factory"] = transport
        opened = cls(where, timeouts, connection, transport)
        try:
            async with opened.talking(timeouts.connect):
                await _connect(connection)
        except BaseException:
            transport.cut()
            # It has nothing to close, and is told so: else it would begin to close itself when it is collected.
            await connection.close()
            raise
        return opened

    @property
    def version(self) -> str:
        properties = self._underlay.server_properties
        return f"{properties.get('product', 'AMQP server')!s} {properties.get('version', 'of an unknown version')!s}"

    async def channel(self) -> AbstractChannel:
        """For what is not done for each message.

        Keep it: until the connection ends, aio-pika holds on to 4 KB of each channel that was closed.
        """
        async with self.talking(self.timeouts.answer):
            return await self._connection.channel(publisher_confirms=False)

    async def queue(self, name: str) -> AbstractQueue:
        """A queue to look at and to fetch from, on a channel of its own: one that is missing costs its channel."""
        channel = await self.channel()
        return await channel.get_queue(name, ensure=False)

    async def underlay_channel(self, *, confirms: bool = False) -> aiormq.Channel:
        """A channel of the layer beneath, for what is done for each message."""
        async with self.talking(self.timeouts.answer):
            channel = await self._underlay.channel(publisher_confirms=confirms, frame_buffer_size=_FRAME_BUFFER)
            return cast("aiormq.Channel", channel)

    @asynccontextmanager
    async def talking(self, seconds: float, *, lost: type[Trouble] = Unavailable) -> AsyncGenerator[None, None]:
        """A block that speaks with the broker. It ends within the seconds.

        Raise `lost` when there is no answer, or a refusal. What our own side did wrong is raised as it is.
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
            # Nobody has cancelled us: this is how aiormq ends what waits on a connection that it gives up.
            raise lost(f"the connection to RabbitMQ at {self.where} was lost") from None
        except Trouble:
            raise
        except Exception as error:
            # On a connection that ended without a word, aiormq raises Exception itself, or what it failed to read.
            if not isinstance(error, _OF_THE_BROKER) and not self._is_closed:
                raise
            raise lost(in_words(error, self.where)) from error

    async def close(self) -> None:
        """In good order if the broker plays its part, by force otherwise. Never raise."""
        # Without an error of ours, aiormq would end whoever still waits with a cancellation that nobody asked for.
        ours = aiormq.ConnectionClosed(200, "closed by this side")
        # In a task: aio-pika waits for the connection's end even when it is cancelled, and a silent one ends only when
        # its socket is cut.
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
        # As of a virtual host with too long a name.
        raise Unavailable(_UNUSABLE) from None


def in_words(error: BaseException, where: str) -> str:
    """What is wrong, and what to do about it."""
    match error:
        case aiormq.ProbableAuthenticationError() | aiormq.AuthenticationError():
            return f"RabbitMQ at {where} refuses the user or the password: check AMQP_URL"
        case aiormq.InvalidFrameError() if "Connection.OpenOk" in str(error):
            return (
                f"RabbitMQ at {where} has no such virtual host, or this user may not use it: check the path of"
                " AMQP_URL (none at all, or %2F, stands for the virtual host '/')"
            )
        case aiormq.ChannelNotFoundEntity():
            return f"RabbitMQ at {where} says {error}: run `holdfast migrate`, which declares it"
        case aiormq.ChannelPreconditionFailed() if "inequivalent" in str(error):
            return (
                f"RabbitMQ at {where} says {error}: something else has declared it."
                " Delete it when it is empty, and run `holdfast migrate`"
            )
        case aiormq.AMQPChannelError():
            return f"RabbitMQ at {where} says {error}"
        case _:
            return (
                f"RabbitMQ at {where} can't be reached ({str(error) or 'the connection was lost'}):"
                " is it running, and is AMQP_URL right?"
            )


def _prepare(url: str, name: str) -> tuple[aio_pika.Connection, str]:
    """The connection, not yet opened, and where it leads."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
        query = urlencode({"heartbeat": _HEARTBEAT, **dict(parse_qsl(parts.query))})
        address = URL(parts._replace(query=query).geturl())
    except (ValueError, KeyError):
        # What exactly is wrong is not repeated: half of a password with a slash in it looks like a port.
        raise Unavailable(_UNUSABLE) from None
    if not parts.hostname:
        raise Unavailable(_UNUSABLE)
    properties: FieldTable = {"connection_name": name, "product": "Holdfast"}
    return aio_pika.Connection(address, client_properties=properties), f"{parts.hostname}:{port}"
