from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import define, evolve, field, frozen

from application.messaging.subscriptions import QUEUE_OF
from application.ports.messaging import EventPublisher
from application.ports.outbox import OutboxEntry
from application.ports.persistence import Transaction

# The pause between two looks for work that waits, and the one while a queue is known to refuse work.
_SELDOM: Final = timedelta(seconds=5)
_SOON: Final = timedelta(seconds=1)


@frozen
class _Look:
    """When the waiting work of one type was looked for, and how soon and for how many entries to look again."""

    at: datetime
    pause: timedelta = _SELDOM
    limit: int = 1

    def is_over(self, now: datetime) -> bool:
        # The difference is negative after the clock was set back. Look then, too.
        return not timedelta(0) <= now - self.at < self.pause


@define(eq=False)
class Enqueuer:
    """Hands work to its queues. What a queue refuses waits in a table of its own, so that nothing waits behind it.

    While a queue refuses its work, one entry is tried each second. As soon as the queue takes it, the others follow.
    """

    _publisher: EventPublisher
    _relay: str
    _limit: int
    # Outcomes that the next transaction stores: what was refused, and what had waited and was taken.
    _refused: list[OutboxEntry] = field(factory=list, init=False)
    taken_late: list[OutboxEntry] = field(factory=list, init=False)
    _looks: dict[str, _Look] = field(factory=dict, init=False)

    async def due(self, tx: Transaction, now: datetime) -> list[OutboxEntry]:
        """Return the waiting work that is to be tried again. None if another relay holds the lease."""
        due: list[OutboxEntry] = []
        for type_ in QUEUE_OF:
            look = self._looks.get(type_)
            if look is None or look.is_over(now):
                found = await tx.waiting_work.oldest(type_, by=self._relay, limit=look.limit if look else 1)
                self._looks[type_] = _Look(now, _SOON if found else _SELDOM)
                due += found
        return due

    async def store(self, tx: Transaction) -> None:
        if self.taken_late:
            await tx.waiting_work.remove(self.taken_late)
        if self._refused:
            await tx.waiting_work.put_off(self._refused)

    def forget_stored(self) -> None:
        self.taken_late, self._refused = [], []

    async def __call__(self, work: Sequence[OutboxEntry], late: Sequence[OutboxEntry]) -> None:
        """Try all of it once. `late` has waited. Raise `Trouble` if the broker is gone; nothing is refused then."""
        if not work and not late:
            return
        taken = {entry.position for entry in await self._publisher.enqueue([*late, *work])}
        self.taken_late += [entry for entry in late if entry.position in taken]
        refused = [entry for entry in work if entry.position not in taken]
        self._refused += refused
        self._learn(taken, refused, late)

    def _learn(self, taken: set[int], refused: Sequence[OutboxEntry], late: Sequence[OutboxEntry]) -> None:
        refusing = {entry.type for entry in (*late, *refused) if entry.position not in taken}
        for type_ in {entry.type for entry in (*late, *refused)}:
            if (look := self._looks.get(type_)) is None:
                continue
            if type_ in refusing:
                self._looks[type_] = evolve(look, pause=_SOON, limit=1)
            else:
                self._looks[type_] = evolve(look, pause=timedelta(0), limit=self._limit)
