from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog
from attrs import frozen

from adapters.codecs.events import BadMessage
from adapters.rabbitmq.announcements import announcement
from adapters.rabbitmq.connection import Timeouts, names_several_nodes
from adapters.rabbitmq.detour import Detour
from adapters.rabbitmq.frames import Message, header
from adapters.rabbitmq.link import Link, OneLink
from adapters.rabbitmq.sender import Sender
from adapters.rabbitmq.topology import Topology
from adapters.rabbitmq.two_links import TwoLinks
from application.messaging.subscriptions import INTAKE, QUEUE_OF, WORK_QUEUES
from application.ports.outbox import OutboxEntry

log: Final[structlog.stdlib.BoundLogger] = structlog.get_logger(__name__)


@asynccontextmanager
async def open_publisher(
    url: str, topology: Topology, *, timeouts: Timeouts | None = None
) -> AsyncGenerator["RabbitPublisher", None]:
    """Connect when the first message is sent, so that a process can start while the broker is down."""
    timeouts = timeouts or Timeouts()
    work = _sender_of_work(url, topology, timeouts)
    # If the queue of another service never confirms, or RabbitMQ slows us down for it, only this connection waits.
    announcements = Sender(url, f"{topology.namespace} announcements", timeouts, tells_refusals=False)
    try:
        yield RabbitPublisher(work, announcements, topology)
    finally:
        await work.close()
        await announcements.close()


def _sender_of_work(url: str, topology: Topology, timeouts: Timeouts) -> Detour:
    """Return what sends to our own queues: over two links where the URL names several nodes.

    One host may stand for several nodes as well. So orders have a detour in any case: a second queue for the seconds in
    which their own does not answer.
    """

    def sender(name: str, *queues: str) -> Sender:
        kinds = {queue: topology.all_queues[queue] for queue in queues}
        return Sender(url, f"{topology.namespace} {name}", timeouts, kinds, doubts_refusals=True)

    own = [topology.queue(queue.name) for queue in WORK_QUEUES]
    links: OneLink | TwoLinks
    if names_several_nodes(url):
        links = TwoLinks.of(sender("work", *own), sender("work, second", *own))
    else:
        links = OneLink(Link(sender("work", *own)))
    later = topology.later(INTAKE.name)
    return Detour(links, Link(sender("work, aside", later)), {topology.queue(INTAKE.name): later})


@frozen
class RabbitPublisher:
    """Sends work to its queue by name, and announcements to the exchange, with their type as the routing key.

    The confirm of an exchange only proves that the queues that are bound to it have the message. They may be anybody's.
    Work goes through the default exchange, which routes to the queue of that name and to no other. If that queue is
    missing, RabbitMQ returns the message, and it counts as refused.
    """

    _work: Detour
    _announcements: Sender
    _topology: Topology

    async def enqueue(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        messages = [work_message(entry, self._topology) for entry in entries]
        return _confirmed(entries, await self._work.send(messages))

    async def announce(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        exchange, namespace = self._topology.exchange, self._topology.namespace
        readable, messages = [], []
        for entry in entries:
            try:
                messages.append(announcement(entry, exchange=exchange, namespace=namespace))
            except BadMessage as error:
                # It counts as refused, and is tried again: the next release may know how to announce it.
                log.error("an event can't be announced", id=_name(entry), reason=str(error))  # noqa: TRY400 - no error here
            else:
                readable.append(entry)
        return _confirmed(readable, await self._announcements.send(messages))


def work_message(entry: OutboxEntry, topology: Topology) -> Message:
    """Return the message to our own worker: the event as it is stored."""
    queue = topology.queue(QUEUE_OF[entry.type].name)
    return Message(queue, entry.body, entry.type, header("event-id", _name(entry)))


def _name(entry: OutboxEntry) -> str:
    return f"{entry.id.order_id}/{entry.id.sequence}"


def _confirmed(entries: Sequence[OutboxEntry], confirmed: Sequence[bool]) -> list[OutboxEntry]:
    return [entry for entry, done in zip(entries, confirmed, strict=True) if done]
