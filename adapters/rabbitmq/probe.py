"""Whether the broker takes messages, and whether our queues are there, are of the right kind and have consumers."""

import asyncio
from typing import Final

import aiormq
from attrs import define, field

from adapters.rabbitmq.connection import BrokerConnection, Timeouts
from adapters.rabbitmq.topology import Topology
from application.errors import Unavailable
from application.messaging.subscriptions import WORK_QUEUES, WorkQueue

# In seconds. Who asks, asks again soon.
_TIMEOUTS: Final = Timeouts(connect=2.0, answer=1.5, close=0.5)
_RECONNECT_EVERY: Final = 5.0


def queue_of(work: WorkQueue) -> str:
    """The name of this queue among what is missing."""
    return f"queue {work.name}"


@define(eq=False)
class BrokerProbe:
    """Keeps one connection for all checks: a check opens none, unless the last one was lost some seconds ago."""

    _url: str
    _topology: Topology
    _connection: BrokerConnection | None = field(default=None, init=False)
    _channel: aiormq.Channel | None = field(default=None, init=False)
    _lost: tuple[float, str] = field(default=(float("-inf"), ""), init=False)

    async def check(self) -> dict[str, str]:
        """Return what is missing, and why. Raise `Unavailable`: the broker takes no messages."""
        self._expect_due()
        missing: dict[str, str] = {}
        try:
            await self.expect_taking()
            for work in WORK_QUEUES:
                missing |= await self._missing(work)
        except Unavailable as error:
            self._lost = asyncio.get_running_loop().time(), str(error)
            await self.close()
            raise
        return missing

    async def close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await connection.close()

    def _expect_due(self) -> None:
        """Raise what the last attempt raised, until another one is due."""
        at, reason = self._lost
        if self._connection is None and asyncio.get_running_loop().time() - at < _RECONNECT_EVERY:
            raise Unavailable(reason)

    async def expect_taking(self) -> None:
        """Publish to nobody, twice. Raise `Unavailable`.

        While the broker has an alarm of memory or disk, it reads no more from a connection that has published.
        """
        connection = await self._connected()
        channel = await self._opened(connection)
        try:
            async with connection.talking(_TIMEOUTS.answer):
                for _ in range(2):
                    await channel.basic_publish(b"", exchange="", routing_key=f"{self._topology.namespace}.nobody")
        except Unavailable as error:
            if not isinstance(error.__cause__, TimeoutError):
                raise
            raise Unavailable(f"{error}: is one of its alarms on (memory, disk)? See `rabbitmqctl status`") from error

    async def _missing(self, work: WorkQueue) -> dict[str, str]:
        connection, name = await self._connected(), self._topology.queue(work.name)
        arguments = self._topology.queues(work.name)[name]
        try:
            channel = await self._opened(connection)
            async with connection.talking(_TIMEOUTS.answer):
                # First whether it is there: the second call would make it.
                found = await channel.queue_declare(name, passive=True)
                await channel.queue_declare(name, durable=True, arguments=arguments)
        except Unavailable as error:
            if not isinstance(error.__cause__, aiormq.AMQPChannelError):
                raise
            # RabbitMQ closes the channel with such an answer.
            self._channel = None
            return {queue_of(work): str(error)}
        return {} if found.consumer_count else {f"consumer of {work.name}": f"nobody consumes {name}"}

    async def _connected(self) -> BrokerConnection:
        if self._connection is None:
            name = f"{self._topology.namespace} readiness"
            self._connection = await BrokerConnection.open(self._url, name=name, timeouts=_TIMEOUTS)
        return self._connection

    async def _opened(self, connection: BrokerConnection) -> aiormq.Channel:
        if self._channel is None or self._channel.is_closed:
            self._channel = await connection.underlay_channel(confirms=True)
        return self._channel
