from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from attrs import frozen

from adapters.rabbitmq.connection import Timeouts
from adapters.rabbitmq.frames import Message
from adapters.rabbitmq.sender import Sender
from adapters.rabbitmq.topology import REQUIRED, Topology
from application.ports.persistence import OutboxEntry


@asynccontextmanager
async def open_publisher(
    url: str, topology: Topology, *, timeouts: Timeouts | None = None
) -> AsyncGenerator["RabbitPublisher", None]:
    """Connect at the first `publish`, so that a process can start while the broker is down."""
    sender = Sender(url, f"{topology.namespace} publisher", timeouts or Timeouts())
    try:
        yield RabbitPublisher(sender, topology)
    finally:
        await sender.close()


@frozen
class RabbitPublisher:
    """Publishes events to the exchange, each with its type as the routing key."""

    _sender: Sender
    _topology: Topology

    async def publish(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        confirmed = await self._sender.send([self._message(entry) for entry in entries])
        return [entry for entry, done in zip(entries, confirmed, strict=True) if done]

    def _message(self, entry: OutboxEntry) -> Message:
        return Message(
            entry.type,
            entry.body,
            entry.type,
            {"event-id": f"{entry.id.order_id}/{entry.id.sequence}"},
            exchange=self._topology.exchange,
            mandatory=entry.type in REQUIRED,
        )
