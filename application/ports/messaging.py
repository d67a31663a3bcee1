"""Sending to the broker, and receiving from it."""

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from application.ports.outbox import OutboxEntry
from domain.dead_letter import DeadMessage
from domain.ids import JobId, OrderId
from domain.orders.events import Event, OrderAccepted, OrderChangeAccepted


class EventPublisher(Protocol):
    """Sends events to the broker: our own work to its queue, and the news to everybody who listens.

    The two have nothing to do with each other: what becomes of one says nothing about the other.
    """

    async def enqueue(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        """Put each entry into the work queue of its type. Return those that this very queue has confirmed.

        Raise `Trouble`.
        """

    async def announce(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        """Publish the entries to the queues that others have bound. Return those that none of these has refused.

        Raise `Trouble`.
        """


class IntakeQueue(Protocol):
    """The queue where accepted orders, and changes of orders, wait on disk until they are recorded."""

    async def put_many(self, accepted: Sequence[OrderAccepted]) -> set[OrderId]:
        """Return the orders that are safe in the queue. The others may be there or not; after a `Trouble` all may."""

    async def put_changes(self, accepted: Sequence[OrderChangeAccepted]) -> set[JobId]:
        """Return the changes that are safe in the queue, as `put_many` does the orders."""

    async def is_empty(self) -> bool:
        """Return whether everything that was put before this call has been recorded, or dead-lettered.

        It may return False although that is so. Raise `Trouble`.
        """


@frozen
class Delivery:
    """An event from the broker, with the number of the attempt, from 1.

    `failures` counts the earlier attempts that ended with an error that nobody had foreseen, and not with `Trouble`.
    """

    event: Event
    attempt: int
    tag: object
    failures: int = 0


class Subscription(Protocol):
    """The events that wait for one consumer. A delivery that is not settled comes again.

    Each way to settle one may raise `Trouble`: then it comes again, and the database knows what was done.
    """

    async def receive(self, limit: int) -> list[Delivery]:
        """Wait for at least one; take those that are there, up to the limit. Raise `Unavailable`."""

    async def ack(self, deliveries: Sequence[Delivery]) -> None: ...

    async def retry(self, delivery: Delivery, *, reason: str) -> None:
        """Deliver it again, as the next attempt with as many failures, after a delay that grows with each attempt."""

    async def dead_letter(self, delivery: Delivery, *, reason: str) -> None:
        """Keep it as a dead letter, until a person decides."""


@frozen
class DeadDelivery:
    """A message that was dead-lettered."""

    message: DeadMessage
    tag: object


class DeadLetterQueue(Protocol):
    """The dead letters of one consumer, on their way to the table. One that is not acked comes again."""

    async def receive(self, limit: int) -> list[DeadDelivery]:
        """Wait for at least one; take those that are there, up to the limit. Raise `Unavailable`."""

    async def ack(self, deliveries: Sequence[DeadDelivery]) -> None:
        """Remove them: the table has them now. Raise `Trouble`: they come again."""


class OutboxSignal(Protocol):
    """Tells the relay that the outbox has new entries, so that it need not poll. Best effort."""

    def notify(self) -> None:
        """Return at once, and never raise."""

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - the timeout is part of the interface
        """Return when there was a `notify` since the last wait, or after `timeout` seconds."""
