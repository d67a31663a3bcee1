"""How much is in our queues and behind them, and how many consume it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

import aiormq
from attrs import define, evolve, field

from adapters.rabbitmq.connection import BrokerConnection, Timeouts, virtual_host_of
from adapters.rabbitmq.management import unacked_in
from adapters.rabbitmq.topology import Topology
from application.errors import Unavailable
from application.messaging.subscriptions import WORK_QUEUES
from application.ports.overview import QueueState

# In seconds. Who looks, looks again soon.
_TIMEOUTS: Final = Timeouts(connect=1.5, answer=1.5, close=0.5)
# Messages and consumers of a queue.
_Counts = tuple[int, int]


@define(eq=False)
class RabbitQueues:
    """Keeps one connection for all looks. Nothing is declared: a queue that is missing is told of.

    Over AMQP, RabbitMQ does not say how many messages are unacked. Its management API does.
    """

    _url: str
    _topology: Topology
    _management_url: str
    _connection: BrokerConnection | None = field(default=None, init=False)
    _channel: aiormq.Channel | None = field(default=None, init=False)

    async def look(self) -> list[QueueState]:
        try:
            states = [await self._state(work.name) for work in WORK_QUEUES]
        except Unavailable:
            await self.close()
            raise
        return states if not self._management_url else await self._with_unacked(states)

    async def close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await connection.close()

    async def _state(self, consumer: str) -> QueueState:
        topology = self._topology
        names = (topology.queue(consumer), topology.later(consumer), topology.dead(consumer))
        counts: list[_Counts] = []
        for name in names:
            found = await self._counts(name)
            if isinstance(found, str):
                return QueueState(name=consumer, problem=found)
            counts.append(found)
        (ready, consumers), (later, _), (dead, _) = counts
        return QueueState(name=consumer, ready=ready, consumers=consumers, later=later, dead=dead)

    async def _counts(self, name: str) -> _Counts | str:
        """Return what is in the queue, or why it can't be read. Raise `Unavailable`: no queue can be read."""
        connection = await self._connected()
        channel = await self._opened(connection)
        try:
            async with connection.talking(_TIMEOUTS.answer):
                found = await channel.queue_declare(name, passive=True)
        except Unavailable as error:
            if not isinstance(error.__cause__, aiormq.AMQPChannelError):
                raise
            # RabbitMQ closes the channel with such an answer.
            self._channel = None
            return str(error)
        return found.message_count or 0, found.consumer_count or 0

    async def _with_unacked(self, states: list[QueueState]) -> list[QueueState]:
        names, host = [self._topology.queue(each.name) for each in states], virtual_host_of(self._url)
        try:
            unacked = await unacked_in(self._management_url, host, names)
        except Unavailable:
            # The rest is known all the same. `holdfast doctor` says what is wrong with it.
            return states
        return [evolve(each, unacked=unacked.get(self._topology.queue(each.name))) for each in states]

    async def _connected(self) -> BrokerConnection:
        if self._connection is None:
            name = f"{self._topology.namespace} queue states"
            self._connection = await BrokerConnection.open(self._url, name=name, timeouts=_TIMEOUTS)
        return self._connection

    async def _opened(self, connection: BrokerConnection) -> aiormq.Channel:
        if self._channel is None or self._channel.is_closed:
            self._channel = await connection.underlay_channel()
        return self._channel


@asynccontextmanager
async def open_queues(url: str, topology: Topology, *, management_url: str = "") -> AsyncGenerator[RabbitQueues, None]:
    """It connects when it is first asked."""
    queues = RabbitQueues(url, topology, management_url)
    try:
        yield queues
    finally:
        await queues.close()
