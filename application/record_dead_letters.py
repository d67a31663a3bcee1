from collections.abc import Sequence

from attrs import field, frozen

from application.ports import DeadDelivery, DeadLetterQueue, UnitOfWork


@frozen
class RecordDeadLetters:
    """Bring what a consumer has set aside from its queue into the table, where a person finds it."""

    _consumer: str
    _queue: DeadLetterQueue
    _unit_of_work: UnitOfWork
    _limit: int = field(default=100, kw_only=True)

    async def receive(self) -> Sequence[DeadDelivery]:
        """Wait for dead messages. To be cancelled here loses none. Raise `Unavailable` when the broker is gone."""
        return await self._queue.receive(self._limit)

    async def record(self, deliveries: Sequence[DeadDelivery]) -> None:
        """Raise `Unavailable` or `Aborted`: they are received again."""
        async with self._unit_of_work() as tx:
            await tx.dead_letters.record(self._consumer, [delivery.message for delivery in deliveries])
        # To stop before this is safe: what is received again is the same letter.
        await self._queue.done(deliveries)
