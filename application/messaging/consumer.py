from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import evolve, field, frozen

from application.errors import Trouble
from application.execution.batching import each_alone
from application.messaging.subscriptions import WorkQueue
from application.ports.messaging import Delivery, Subscription
from domain.errors import DomainError
from domain.orders.events import Event


@frozen
class Handled:
    """The outcome of a batch: how many were acked, and which will be retried or were dead-lettered, with the reason."""

    done: int
    retried: tuple[tuple[Delivery, Exception], ...]
    dead_lettered: tuple[tuple[Delivery, Exception], ...]


@frozen
class Consumer:
    """Pass the deliveries of a queue to a use case, in batches, and settle each delivery by its outcome.

    A delivery is acknowledged only after its use case has returned. After a `Trouble` it is retried for as long as it
    takes. After a `DomainError` it is dead-lettered at once, after any other error once that was so `max_failures`
    times: the attempts during an outage don't count.
    """

    work: WorkQueue
    _subscription: Subscription
    _handle_all: Callable[[Sequence[Any]], Awaitable[Sequence[Exception | None]]]
    _max_batch: int = field(default=256, kw_only=True)
    _max_failures: int = field(default=8, kw_only=True)

    async def step(self) -> Handled:
        """Wait for deliveries and handle them."""
        return await self.handle(await self.receive())

    async def receive(self) -> Sequence[Delivery]:
        """Wait for deliveries. Cancelling this call loses none. Raise `Trouble` when the broker is gone."""
        return await self._subscription.receive(self._max_batch)

    async def handle(self, deliveries: Sequence[Delivery]) -> Handled:
        """Handle deliveries, and settle each. Raise `Trouble` when the broker is gone: it will deliver them again."""
        events = [delivery.event for delivery in deliveries]
        outcomes = await each_alone(self._handle, events)
        done: list[Delivery] = []
        retried: list[tuple[Delivery, Exception]] = []
        dead_lettered: list[tuple[Delivery, Exception]] = []
        for delivery, outcome in zip(deliveries, outcomes, strict=True):
            if outcome is None:
                done.append(delivery)
            elif isinstance(outcome, Trouble):
                retried.append((delivery, outcome))
            elif not isinstance(outcome, DomainError) and delivery.failures + 1 < self._max_failures:
                retried.append((evolve(delivery, failures=delivery.failures + 1), outcome))
            else:
                dead_lettered.append((delivery, outcome))
        await self._subscription.ack(done)
        for delivery, error in retried:
            await self._subscription.retry(delivery, reason=_reason(error))
        for delivery, error in dead_lettered:
            await self._subscription.dead_letter(delivery, reason=_reason(error))
        return Handled(len(done), tuple(retried), tuple(dead_lettered))

    async def _handle(self, events: Sequence[Event]) -> Sequence[Exception | None]:
        wanted = [event for event in events if isinstance(event, self.work.event)]
        if len(wanted) < len(events):
            raise TypeError(f"queue {self.work.name} takes only {self.work.event.type} events, and got another type")
        return await self._handle_all(wanted)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
