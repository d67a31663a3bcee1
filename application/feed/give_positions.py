from datetime import timedelta

from attrs import field, frozen

from application.ports.messaging import OutboxSignal
from application.ports.persistence import UnitOfWork


@frozen
class GivePositions:
    """Give each committed event its position in the feed. It waits for no broker and no queue.

    One relay at a time does so, by its lease, which is checked in the transaction that gives the positions. Return how
    many events got one.
    """

    _unit_of_work: UnitOfWork
    _signal: OutboxSignal
    _relay: str
    limit: int = field(default=512, kw_only=True)

    async def __call__(self) -> int:
        async with self._unit_of_work() as tx:
            given = await tx.feed.give_positions(by=self._relay, limit=self.limit)
        if given:
            self._signal.notify()
        return given

    async def stop(self) -> None:
        """Release the lease, so that another relay can take over at once."""
        async with self._unit_of_work() as tx:
            await tx.feed.release(by=self._relay)


@frozen
class PruneFeed:
    """Forget positions that are older than the retention, in steps, so that no transaction takes long.

    Return whether there may be more.
    """

    _unit_of_work: UnitOfWork
    _retention: timedelta | None
    _limit: int = field(default=1000, kw_only=True)

    async def __call__(self) -> bool:
        if self._retention is None:
            return False
        async with self._unit_of_work() as tx:
            return await tx.feed.prune(older_than=self._retention, limit=self._limit) == self._limit
