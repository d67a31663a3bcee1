"""Whether everything that was put into a work queue has been worked off.

RabbitMQ counts the messages that wait, and not those that a consumer has. So a consumer gets some time for these.
"""

import asyncio
from typing import Final

import aiormq
from attrs import field, frozen

from adapters.rabbitmq.connection import BrokerConnection, Timeouts
from adapters.rabbitmq.topology import Topology

# In seconds: much more than a consumer takes for what it has received, while the database answers.
_TO_WORK_OFF: Final = 1.0
_TIMEOUTS: Final = Timeouts(connect=0.5, answer=0.5, close=0.3)


@frozen
class QueueIsEmpty:
    """Raise `Unavailable`. A call costs a connection, and takes a second if the answer is yes."""

    _url: str
    _topology: Topology
    _consumer: str
    _timeouts: Timeouts = field(default=_TIMEOUTS, kw_only=True)

    async def __call__(self) -> bool:
        name = f"{self._topology.namespace} {self._consumer} look"
        own, later = self._topology.queue(self._consumer), self._topology.later(self._consumer)
        connection = await BrokerConnection.open(self._url, name=name, timeouts=self._timeouts)
        try:
            channel = await connection.underlay_channel()
            # In this sequence: a message goes from `later` to the queue, and only through a consumer back again.
            for queue in (later, own):
                if await _waiting(connection, channel, queue):
                    return False
            await asyncio.sleep(_TO_WORK_OFF)
            return not await _waiting(connection, channel, later)
        finally:
            await connection.close()


async def _waiting(connection: BrokerConnection, channel: aiormq.Channel, queue: str) -> int:
    async with connection.talking(connection.timeouts.answer):
        return (await channel.queue_declare(queue, passive=True)).message_count or 0
