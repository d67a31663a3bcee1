from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from attrs import frozen

from adapters.rabbitmq.connection import Timeouts
from adapters.rabbitmq.frames import Message
from adapters.rabbitmq.sender import Sender
from adapters.rabbitmq.topology import Topology
from application.messaging.subscriptions import QUEUE_OF, WORK_QUEUES
from application.ports.persistence import OutboxEntry


@asynccontextmanager
async def open_publisher(
    url: str, topology: Topology, *, timeouts: Timeouts | None = None
) -> AsyncGenerator["RabbitPublisher", None]:
    """Connect when the first message is sent, so that a process can start while the broker is down."""
    timeouts = timeouts or Timeouts()
    queues = {name: topology.queues(queue.name)[name] for queue in WORK_QUEUES for name in [topology.queue(queue.name)]}
    work = Sender(url, f"{topology.namespace} work", timeouts, queues)
    # A queue of somebody else's that confirms nothing, or that RabbitMQ slows down, holds up this connection alone.
    announcements = Sender(url, f"{topology.namespace} announcements", timeouts, tells_refusals=False)
    try:
        yield RabbitPublisher(work, announcements, topology)
    finally:
        await work.close()
        await announcements.close()


@frozen
class RabbitPublisher:
    """Sends work to its queue by name, and announcements to the exchange, with their type as the routing key.

    The confirm of an exchange only proves that the queues that are bound to it have the message, whosever they are.
    Work goes through the default exchange, which routes to the queue of that name and to no other. If that queue is
    missing, RabbitMQ returns the message, and it counts as refused.
    """

    _work: Sender
    _announcements: Sender
    _topology: Topology

    async def enqueue(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        messages = [_message(entry, self._topology.queue(QUEUE_OF[entry.type].name)) for entry in entries]
        return _confirmed(entries, await self._work.send(messages))

    async def announce(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        # Nobody need listen, so what reaches no queue at all is confirmed as well.
        messages = [_message(entry, entry.type, self._topology.exchange, mandatory=False) for entry in entries]
        return _confirmed(entries, await self._announcements.send(messages))


def _message(entry: OutboxEntry, routing_key: str, exchange: str = "", *, mandatory: bool = True) -> Message:
    headers = {"event-id": f"{entry.id.order_id}/{entry.id.sequence}"}
    return Message(routing_key, entry.body, entry.type, headers, exchange, mandatory)


def _confirmed(entries: Sequence[OutboxEntry], confirmed: Sequence[bool]) -> list[OutboxEntry]:
    return [entry for entry, done in zip(entries, confirmed, strict=True) if done]
