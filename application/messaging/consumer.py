from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from attrs import field, frozen

from application.errors import Trouble
from application.execution.batching import each_alone
from application.ports.messaging import Delivery, Subscription
from domain.errors import DomainError
from domain.orders.events import Event

E = TypeVar("E", bound=Event)


@frozen
class Handled:
    """What became of a batch: done, to be brought again later, and set aside, each later and aside with its reason."""

    done: int
    later: tuple[tuple[Delivery, Exception], ...]
    aside: tuple[tuple[Delivery, Exception], ...]


@frozen
class Consumer(Generic[E]):
    """Bring what waits in a queue to a use case, in batches, and settle each delivery by its outcome.

    A delivery is acknowledged only after its use case has returned. What may pass by itself (`Trouble`) is tried again
    for as long as it takes; what the rules refuse is dead-lettered at once; anything else after `max_attempts`.
    """

    _queue: Subscription
    _event_type: type[E]
    _work: Callable[[Sequence[E]], Awaitable[Sequence[Exception | None]]]
    _max_batch: int = field(default=256, kw_only=True)
    _max_attempts: int = field(default=8, kw_only=True)

    async def step(self) -> Handled:
        """Wait for deliveries and deal with them."""
        return await self.handle(await self.receive())

    async def receive(self) -> Sequence[Delivery]:
        """Wait for deliveries. To be cancelled here loses none. Raise `Trouble` when the broker is gone."""
        return await self._queue.receive(self._max_batch)

    async def handle(self, deliveries: Sequence[Delivery]) -> Handled:
        """Deal with deliveries, and settle each. Raise `Trouble` when the broker is gone: they come again."""
        events = [delivery.event for delivery in deliveries]
        outcomes = await each_alone(self._handle, events)
        done: list[Delivery] = []
        later: list[tuple[Delivery, Exception]] = []
        aside: list[tuple[Delivery, Exception]] = []
        for delivery, outcome in zip(deliveries, outcomes, strict=True):
            if outcome is None:
                done.append(delivery)
            elif self._may_pass(delivery, outcome):
                later.append((delivery, outcome))
            else:
                aside.append((delivery, outcome))
        await self._queue.ack(done)
        for delivery, error in later:
            await self._queue.retry(delivery, reason=_reason(error))
        for delivery, error in aside:
            await self._queue.dead_letter(delivery, reason=_reason(error))
        return Handled(len(done), tuple(later), tuple(aside))

    async def _handle(self, events: Sequence[Event]) -> Sequence[Exception | None]:
        wanted = [event for event in events if isinstance(event, self._event_type)]
        if len(wanted) < len(events):
            raise TypeError(f"only {self._event_type.type} belongs here")
        return await self._work(wanted)

    def _may_pass(self, delivery: Delivery, error: Exception) -> bool:
        if isinstance(error, Trouble):
            return True
        return not isinstance(error, DomainError) and delivery.attempt < self._max_attempts


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
