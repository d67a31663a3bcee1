from collections.abc import Sequence

from attrs import define, field

from application.ports import EventPublisher, OutboxEntry, UnitOfWork
from domain.ids import OrderId


@define(eq=False)
class RelayEvents:
    """Hand the oldest events of the outbox to the broker: at least once, and those of an order in their order.

    Return how many were handed over. Raise `Unavailable` when the broker or the database is gone; nothing is lost.
    The transaction that removes what was sent claims the next as well: the step after it is to follow at once.
    """

    _unit_of_work: UnitOfWork
    _publisher: EventPublisher
    _relay: str
    _limit: int = field(default=512, kw_only=True)
    # What the step before claimed for this one; None where that has to be asked.
    _claimed: Sequence[OutboxEntry] | None = field(default=None, init=False)

    async def __call__(self) -> int:
        entries, self._claimed = self._claimed, None
        if entries is None:
            async with self._unit_of_work() as tx:
                entries = await tx.outbox.claim(by=self._relay, limit=self._limit)
        sent: list[OutboxEntry] = []
        # To stop anywhere is safe: what was sent is sent again.
        try:
            await self._publish(entries, sent)
        except BaseException:
            if sent:
                async with self._unit_of_work() as tx:
                    await tx.outbox.remove(sent)
            raise
        if sent:
            async with self._unit_of_work() as tx:
                await tx.outbox.remove(sent)
                following = await tx.outbox.claim(by=self._relay, limit=self._limit)
            self._claimed = following
        return len(sent)

    async def stop(self) -> None:
        """Let another relay take over at once."""
        self._claimed = None
        async with self._unit_of_work() as tx:
            await tx.outbox.release(by=self._relay)

    async def _publish(self, entries: Sequence[OutboxEntry], sent: list[OutboxEntry]) -> None:
        """Add to `sent` what the broker has confirmed, also when the rest fails."""
        held_up: set[OrderId] = set()
        for wave in _one_an_order(entries):
            ready = [entry for entry in wave if entry.id.order_id not in held_up]
            confirmed = await self._publisher.publish(ready)
            sent += confirmed
            held_up |= {entry.id.order_id for entry in ready} - {entry.id.order_id for entry in confirmed}


def _one_an_order(entries: Sequence[OutboxEntry]) -> list[list[OutboxEntry]]:
    """Waves in which no order stands twice: only when an event is confirmed may the next of its order follow."""
    waves: list[list[OutboxEntry]] = []
    seen: dict[OrderId, int] = {}
    for entry in entries:
        turn = seen.get(entry.id.order_id, 0)
        seen[entry.id.order_id] = turn + 1
        if turn == len(waves):
            waves.append([])
        waves[turn].append(entry)
    return waves
