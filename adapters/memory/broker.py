import asyncio
from collections import deque
from collections.abc import Sequence

from attrs import define, field

from adapters.delays import DELAYS
from adapters.wire import decode
from application.ports import Delivery, OutboxEntry
from domain.events import Event


@define(eq=False)
class MemoryBroker:
    """Queues in this process. What waits in them is lost with it; `ResumeOrders` announces it again at the start."""

    _queues: list["MemoryQueue"] = field(factory=list, init=False)

    def queue(self, *types: str, delays: Sequence[float] = DELAYS) -> "MemoryQueue":
        """A queue to which events of these types are brought from now on."""
        queue = MemoryQueue(frozenset(types), delays=tuple(delays))
        self._queues.append(queue)
        return queue

    async def publish(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        for entry in entries:
            for queue in self._queues:
                if entry.type in queue.types:
                    queue.put(decode(entry.body))
        return list(entries)


@define(eq=False)
class MemoryQueue:
    """The events that wait for one consumer."""

    types: frozenset[str]
    _delays: tuple[float, ...] = field(kw_only=True)
    dead_letters: list[tuple[Delivery, str]] = field(factory=list, init=False)
    _waiting: deque[Delivery] = field(factory=deque, init=False)
    _arrived: asyncio.Event = field(factory=asyncio.Event, init=False)

    def put(self, event: Event, *, attempt: int = 1) -> None:
        self._waiting.append(Delivery(event, attempt, tag=None))
        self._arrived.set()

    async def receive(self, limit: int) -> list[Delivery]:
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]

    async def done(self, deliveries: Sequence[Delivery]) -> None:
        """There is nothing to settle: what was received is no longer in the queue."""

    async def later(self, delivery: Delivery, *, reason: str) -> None:  # noqa: ARG002 - it is logged by the worker
        delay = self._delays[min(delivery.attempt, len(self._delays)) - 1]
        asyncio.get_running_loop().call_later(delay, lambda: self.put(delivery.event, attempt=delivery.attempt + 1))

    async def set_aside(self, delivery: Delivery, *, reason: str) -> None:
        self.dead_letters.append((delivery, reason))
