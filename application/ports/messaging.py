"""What goes to the broker, and what comes from it."""

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from application.ports.persistence import OutboxEntry
from domain.dead_letter import DeadMessage
from domain.ids import OrderId
from domain.orders.events import Event, OrderAccepted


class EventPublisher(Protocol):
    """The way to the broker."""

    async def publish(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        """Hand them over, and return those that the broker has confirmed. Raise `Trouble`."""


class IntakeQueue(Protocol):
    """Where accepted orders wait, on disk, until they are recorded."""

    async def put_many(self, accepted: Sequence[OrderAccepted]) -> set[OrderId]:
        """Return those that are safe there. The others may be there or not. Raise `Trouble`: so may all."""


@frozen
class Delivery:
    """An event that the broker has brought, and which attempt at it this is, counted from 1."""

    event: Event
    attempt: int
    tag: object


class Subscription(Protocol):
    """The events that wait for one consumer. What is not settled is brought again."""

    async def receive(self, limit: int) -> list[Delivery]:
        """Wait for at least one; take those that are there, up to the limit. Raise `Unavailable`."""

    async def ack(self, deliveries: Sequence[Delivery]) -> None: ...

    async def retry(self, delivery: Delivery, *, reason: str) -> None:
        """Bring it again after a delay that grows with each attempt."""

    async def dead_letter(self, delivery: Delivery, *, reason: str) -> None:
        """Keep it as a dead letter, until a person decides."""


@frozen
class DeadDelivery:
    """A message that was set aside."""

    message: DeadMessage
    tag: object


class DeadLetterQueue(Protocol):
    """What one consumer has set aside, on its way to the table. What is not done is brought again."""

    async def receive(self, limit: int) -> list[DeadDelivery]:
        """Wait for at least one; take those that are there, up to the limit. Raise `Unavailable`."""

    async def ack(self, deliveries: Sequence[DeadDelivery]) -> None:
        """They are kept elsewhere now. Raise `Trouble`: they are brought again."""


class OutboxSignal(Protocol):
    """Tells the relay that there is something in the outbox, so that it needs no polling. Best effort."""

    def notify(self) -> None:
        """Return at once, and never raise."""

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - the bound is part of what is asked
        """Until there was a `notify` since the last wait, or the seconds have passed."""
