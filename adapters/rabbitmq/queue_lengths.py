"""How much waits in our queues, and how many consume it."""

from attrs import frozen

from adapters.rabbitmq.connection import BrokerConnection, Timeouts
from adapters.rabbitmq.topology import Topology
from application.errors import Unavailable
from application.messaging.subscriptions import WORK_QUEUES


@frozen
class QueueLength:
    """`name` is that of the consumer. Of a queue that can't be used, `problem` says why."""

    name: str
    messages: int = 0
    consumers: int = 0
    problem: str | None = None


async def queue_lengths(url: str, topology: Topology) -> list[QueueLength]:
    """Raise `Unavailable`. Nothing is declared: a queue that is missing is reported."""
    connection = await BrokerConnection.open(url, name=f"{topology.namespace} status", timeouts=Timeouts())
    try:
        return [await _length(connection, topology, work.name) for work in WORK_QUEUES]
    finally:
        await connection.close()


async def _length(connection: BrokerConnection, topology: Topology, consumer: str) -> QueueLength:
    try:
        # A channel of its own: RabbitMQ closes that of a queue that is missing.
        channel = await connection.underlay_channel()
        async with connection.talking(connection.timeouts.answer):
            found = await channel.queue_declare(topology.queue(consumer), passive=True)
    except Unavailable as error:
        return QueueLength(consumer, problem=str(error))
    return QueueLength(consumer, found.message_count or 0, found.consumer_count or 0)
