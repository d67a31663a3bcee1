"""Connections to RabbitMQ, over aiormq. Whatever goes wrong with one leaves here as `Unavailable`, in words.

aiormq is taken without aio-pika's robust layer: a connection that is lost is given up, with everything that hung on
it, and a new one is opened. There is nothing to restore, and so nothing that is restored wrongly.
"""

import asyncio
import random
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiormq
from aiormq.abc import ChannelFrame
from aiormq.connection import TCPTransportFactory, TLSTransportFactory
from attrs import define, field, frozen
from yarl import URL

from application.errors import Unavailable

# A dead peer is seen after three of them, about 33 seconds.
_HEARTBEAT: Final = "10"
_PORTS: Final = {"amqp": 5672, "amqps": 5671}
_UNUSABLE: Final = (
    "AMQP_URL can't be used: it should look like amqp://user:password@host:5672/vhost,"
    " with special characters in the password written as %XX"
)


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
class Link:
    """One connection."""

    where: str
    timeouts: Timeouts
    _connection: aiormq.Connection
    _transport: _Transport

    @classmethod
    async def open(cls, url: str, *, name: str, timeouts: Timeouts) -> "Link":
        """`name` is what the broker's list of connections shows. Raise `Unavailable`."""
        transport = _Transport()
        connection, where = _prepare(url, name, transport)
        link = cls(where, timeouts, connection, transport)
        try:
            async with talking(where, timeouts.connect):
                await connection.connect()
        except BaseException:
            transport.cut()
            raise
        return link

    @property
    def version(self) -> str:
        properties = self._connection.server_properties
        return f"{properties.get('product', 'AMQP server')!s} {properties.get('version', 'of an unknown version')!s}"

    async def channel(self, *, confirms: bool = False) -> aiormq.Channel:
        async with talking(self.where, self.timeouts.answer):
            # With room for what the socket brings in one go, batches are received as full as they can be.
            channel = await self._connection.channel(publisher_confirms=confirms, frame_buffer_size=1024)
            return cast("aiormq.Channel", channel)

    async def close(self) -> None:
        """In good order if the broker plays its part, by force otherwise. Never raise."""
        # Without an error of ours, aiormq would end whoever still waits with a cancellation that nobody asked for.
        ours = aiormq.ConnectionClosed(200, "closed by this side")
        try:
            with suppress(Exception):
                async with asyncio.timeout(self.timeouts.close):
                    await self._connection.close(ours)
        finally:
            self._transport.cut()
        with suppress(Exception):
            async with asyncio.timeout(self.timeouts.close):
                await self._connection.close(ours)


@asynccontextmanager
async def talking(where: str, seconds: float) -> AsyncGenerator[None, None]:
    """A block that speaks with the broker. It ends within the seconds, and raises `Unavailable`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Unavailable(f"RabbitMQ at {where} did not answer within {seconds:g} s") from error
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Nobody has cancelled us: this is how aiormq ends what waits on a connection that it gives up.
        raise Unavailable(f"the connection to RabbitMQ at {where} was lost") from None
    except Unavailable:
        raise
    except Exception as error:
        # Of every kind: on a connection that ended without a word, aiormq raises Exception itself.
        raise Unavailable(in_words(error, where)) from error


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


async def write(channel: aiormq.Channel, frames: bytes, *, flush: bool = False) -> None:
    """Put many frames on their way in one step: aiormq's own methods cost four times as much for each message.

    With `flush`, return only when they have gone to the socket: closing the connection drops what has not.
    """
    flushed = channel.create_future() if flush else None
    await channel.write_queue.put(ChannelFrame(frames, should_close=False, drain_future=flushed))
    if flushed is not None:
        await flushed


def _prepare(url: str, name: str, transport: _Transport) -> tuple[aiormq.Connection, str]:
    """The connection, not yet opened, and where it leads."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
        query = urlencode({"heartbeat": _HEARTBEAT, **dict(parse_qsl(parts.query))})
        connection = aiormq.Connection(
            parts._replace(query=query).geturl(),
            transport_factory=transport,
            client_properties={"connection_name": name, "product": "Holdfast"},
        )
    except (ValueError, KeyError):
        # What exactly is wrong is not repeated: half of a password with a slash in it looks like a port.
        raise Unavailable(_UNUSABLE) from None
    if not parts.hostname:
        raise Unavailable(_UNUSABLE)
    return connection, f"{parts.hostname}:{port}"
