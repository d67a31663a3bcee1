import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from attrs import define, evolve, field

from adapters.codecs.events import BadMessage, decode, encode
from application.messaging.subscriptions import QUEUE_OF, RETRY_DELAYS, WorkQueue
from application.ports.environment import Clock
from application.ports.messaging import DeadDelivery, Delivery
from application.ports.outbox import OutboxEntry
from application.ports.overview import QueueState
from domain.dead_letter import DeadMessage
from domain.orders.events import Event


def _utc_now() -> datetime:
    return datetime.now(UTC)


# Events that may wait for one consumer. Further events are not confirmed, and so wait in the outbox, on disk.
_ROOM: Final = 10_000


@define(eq=False)
class MemoryBroker:
    """Queues in this process. Their events are lost when it ends; `RepublishRequests` restores them at the start."""

    _room: int = field(default=_ROOM, kw_only=True)
    _now: Clock = field(default=_utc_now, kw_only=True)
    # By their names.
    _queues: dict[str, "MemorySubscription"] = field(factory=dict, init=False)

    def queue(self, work: WorkQueue, *, delays: Sequence[float] = RETRY_DELAYS) -> "MemorySubscription":
        """The queue of this work, empty."""
        queue = MemorySubscription(work.name, delays=tuple(delays), now=self._now)
        self._queues[work.name] = queue
        return queue

    async def enqueue(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        confirmed: list[OutboxEntry] = []
        for entry in entries:
            work = QUEUE_OF.get(entry.type)
            queue = None if work is None else self._queues.get(work.name)
            if queue is not None and queue.waiting() < self._room:
                queue.bring(entry.body)
                confirmed.append(entry)
        return confirmed

    async def look(self) -> list[QueueState]:
        return [queue.state() for queue in self._queues.values()]

    async def empty(self) -> None:
        """Remove what waits. A delivery that a consumer has already got goes on."""
        for queue in self._queues.values():
            queue.clear()

    async def announce(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        """Do nothing: in this process nobody else listens."""
        return list(entries)


@define(eq=False)
class MemoryDeadLetterQueue:
    """The dead letters of one queue. Each stays here until it is acked."""

    _dead: list[DeadMessage] = field(factory=list, init=False)
    _arrived: asyncio.Event = field(factory=asyncio.Event, init=False)

    def __len__(self) -> int:
        return len(self._dead)

    def clear(self) -> None:
        self._dead.clear()

    def put(self, message: DeadMessage) -> None:
        self._dead.append(message)
        self._arrived.set()

    async def receive(self, limit: int) -> list[DeadDelivery]:
        while not self._dead:
            self._arrived.clear()
            await self._arrived.wait()
        return [DeadDelivery(message, tag=None) for message in self._dead[:limit]]

    async def ack(self, deliveries: Sequence[DeadDelivery]) -> None:
        for delivery in deliveries:
            if delivery.message in self._dead:
                self._dead.remove(delivery.message)


@define(eq=False)
class MemorySubscription:
    """The events that wait for one consumer. The tag of a delivery is the moment of the first attempt at it."""

    name: str
    _delays: tuple[float, ...] = field(kw_only=True)
    _now: Clock = field(default=_utc_now, kw_only=True)
    dead_letters: MemoryDeadLetterQueue = field(factory=MemoryDeadLetterQueue, init=False)
    _waiting: deque[Delivery] = field(factory=deque, init=False)
    # Deliveries that wait for their next attempt, and of them those with the last delay. During an outage of the
    # provider, that is nearly all of them.
    _delayed: int = field(default=0, init=False)
    _later: int = field(default=0, init=False)
    # Those that a consumer has.
    _unsettled: int = field(default=0, init=False)
    # A consumer here ends with the process, and its queue with it.
    _has_consumer: bool = field(default=False, init=False)
    _arrived: asyncio.Event = field(factory=asyncio.Event, init=False)

    def state(self) -> QueueState:
        return QueueState(
            name=self.name,
            ready=len(self._waiting),
            unacked=self._unsettled,
            consumers=int(self._has_consumer),
            retry=self._delayed - self._later,
            later=self._later,
            dead=len(self.dead_letters),
        )

    def waiting(self) -> int:
        return len(self._waiting) + self._delayed

    def clear(self) -> None:
        self._waiting.clear()
        self.dead_letters.clear()

    async def is_empty(self) -> bool:
        """Return whether everything that was put here is settled."""
        return not self.waiting() and not self._unsettled

    def put(self, event: Event) -> None:
        self._put(Delivery(event, attempt=1, tag=self._now()))

    def bring(self, body: bytes) -> None:
        """Put encoded bytes, from any version. Unreadable ones are dead-lettered, and so block no others."""
        try:
            self.put(decode(body))
        except BadMessage as error:
            now = self._now()
            reason = f"{type(error).__name__}: {error}"
            self.dead_letters.put(DeadMessage(body=body, reason=reason, attempts=1, first_at=now, last_at=now))

    async def receive(self, limit: int) -> list[Delivery]:
        self._has_consumer = True
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        taken = [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]
        self._unsettled += len(taken)
        return taken

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """A received delivery is no longer in the queue."""
        self._unsettled -= len(deliveries)

    async def retry(self, delivery: Delivery, *, reason: str) -> None:  # noqa: ARG002 - it is logged by the worker
        is_last = delivery.attempt >= len(self._delays)
        delay = self._delays[min(delivery.attempt, len(self._delays)) - 1]
        again = evolve(delivery, attempt=delivery.attempt + 1)
        self._unsettled -= 1
        self._delayed += 1
        self._later += is_last
        asyncio.get_running_loop().call_later(delay, self._put_again, again, is_last)

    async def dead_letter(self, delivery: Delivery, *, reason: str) -> None:
        self._unsettled -= 1
        now = self._now()
        first_at = delivery.tag if isinstance(delivery.tag, datetime) else now
        self.dead_letters.put(
            DeadMessage(
                body=encode(delivery.event), reason=reason, attempts=delivery.attempt, first_at=first_at, last_at=now
            )
        )

    def _put_again(self, delivery: Delivery, was_last: bool) -> None:  # noqa: FBT001 - `call_later` gives it by place
        self._delayed -= 1
        self._later -= was_last
        self._put(delivery)

    def _put(self, delivery: Delivery) -> None:
        self._waiting.append(delivery)
        self._arrived.set()
