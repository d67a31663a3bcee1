from collections.abc import Awaitable, Callable, Sequence

from attrs import define, field

from application.messaging.subscriptions import QUEUE_OF
from application.ports.messaging import EventPublisher
from application.ports.persistence import OutboxEntry, UnitOfWork
from domain.ids import OrderId


@define(eq=False)
class RelayEvents:
    """Publish the oldest events of the outbox: each at least once, and those of one order announced in sequence.

    Work is sent to its queue first, and waits for no announcement. Return how many events are done: announced, and in
    their queue where they are work. Raise `Trouble` when the broker or the database is gone; nothing is lost. The
    transaction that claims the next events removes the confirmed ones.
    """

    _unit_of_work: UnitOfWork
    _publisher: EventPublisher
    _invalidate_older: Callable[[Sequence[OutboxEntry]], Awaitable[None]]
    _relay: str
    _limit: int = field(default=512, kw_only=True)
    # Entries that are done and still in the outbox. A crash anywhere is safe: they are sent again.
    _sent: list[OutboxEntry] = field(factory=list, init=False)

    async def __call__(self) -> int:
        async with self._unit_of_work() as tx:
            await tx.outbox.remove(self._sent)
            entries = await tx.outbox.claim(by=self._relay, limit=self._limit)
        self._sent = []
        await self._publish(entries)
        return len(self._sent)

    async def stop(self) -> None:
        """Release the lease, so that another relay can take over at once."""
        async with self._unit_of_work() as tx:
            await tx.outbox.remove(self._sent)
            await tx.outbox.release(by=self._relay)
        self._sent = []

    async def _publish(self, entries: Sequence[OutboxEntry]) -> None:
        await self._invalidate_older(entries)
        work = [entry for entry in entries if entry.type in QUEUE_OF]
        waiting = {entry.id for entry in work} - {entry.id for entry in await self._publisher.enqueue(work)}
        held_up: set[OrderId] = set()
        for wave in _one_an_order(entries):
            ready = [entry for entry in wave if entry.id.order_id not in held_up]
            announced = await self._publisher.announce(ready)
            # Recorded here, in case a later wave fails.
            self._sent += [entry for entry in announced if entry.id not in waiting]
            held_up |= {entry.id.order_id for entry in ready} - {entry.id.order_id for entry in announced}


def _one_an_order(entries: Sequence[OutboxEntry]) -> list[list[OutboxEntry]]:
    """Waves with at most one event of an order: the next event may follow only when this one is confirmed."""
    waves: list[list[OutboxEntry]] = []
    seen: dict[OrderId, int] = {}
    for entry in entries:
        turn = seen.get(entry.id.order_id, 0)
        seen[entry.id.order_id] = turn + 1
        if turn == len(waves):
            waves.append([])
        waves[turn].append(entry)
    return waves
