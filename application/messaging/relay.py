from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrs import define, field

from application.execution.after_commit import tell_nobody
from application.messaging.announcing import Announcer
from application.messaging.enqueuing import Enqueuer
from application.messaging.subscriptions import QUEUE_OF
from application.ports.environment import Clock
from application.ports.messaging import EventPublisher
from application.ports.outbox import LONGEST_DELAY, Announcement, OutboxEntry
from application.ports.persistence import Transaction, UnitOfWork

# The pause between two looks for put-off announcements, while none is known.
_LOOK_SELDOM: Final = timedelta(seconds=5)


@define(eq=False)
class RelayEvents:
    """Publish the oldest events of the outbox. Each is announced to other services, and work goes to its queue as well.

    An event is announced at least once, and enqueued at least once if it is work. Either may fail without the other.
    Work waits for no announcement. The announcements of an order go out in sequence. One that is refused is put off
    with the later ones of its order, and holds up nothing else. So is work that its queue refuses. Once an entry is
    announced or put off and, if it is work, enqueued or put off, the next claim removes it. A crash anywhere is safe:
    what was not removed is sent again.

    Return how many events are done. Raise `Trouble` when the broker or the database is gone; nothing is lost.
    """

    _unit_of_work: UnitOfWork
    _publisher: EventPublisher
    _invalidate_older: Callable[[Sequence[OutboxEntry]], Awaitable[None]]
    _now: Clock
    _relay: str
    _limit: int = field(default=512, kw_only=True)
    # Told of the events that are done.
    _log: Callable[[Sequence[OutboxEntry]], None] = field(default=tell_nobody, kw_only=True)
    _announcer: Announcer = field(init=False)
    _enqueuer: Enqueuer = field(init=False)
    # The entries of the last claim.
    _claimed: Sequence[OutboxEntry] = field(default=(), init=False)
    # The positions of the work that is in its queue or put off, and of what is announced or put off.
    _enqueued: set[int] = field(factory=set, init=False)
    _told: set[int] = field(factory=set, init=False)
    # Outcomes that the next transaction stores: late announcements that were confirmed, and what is to be put off.
    _heard_late: list[OutboxEntry] = field(factory=list, init=False)
    _put_off: dict[int, Announcement] = field(factory=dict, init=False)
    _looked_at: datetime | None = field(default=None, init=False)
    # The time since which refused announcements have been waiting; None if none is known.
    refused_since: datetime | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._announcer = Announcer(self._publisher, self._now)
        self._enqueuer = Enqueuer(self._publisher, self._relay, self._limit)

    async def __call__(self) -> int:
        late, late_work = await self._claim()
        tell = [each for each in self._claimed if each.position not in self._told]
        work = [each for each in self._claimed if each.type in QUEUE_OF and each.position not in self._enqueued]
        await self._invalidate_older(self._claimed)
        self._announcer.begin(tell, late)
        await self._enqueuer(work, late_work)
        self._enqueued.update(each.position for each in work)
        trouble = await self._announcer.wait()
        self._note_outcomes()
        if trouble is not None:
            raise trouble
        done = [*self._done(), *self._heard_late, *self._enqueuer.taken_late]
        self._log(done)
        return len(done)

    async def stop(self) -> None:
        """Release the lease, so that another relay can take over at once."""
        await self._announcer.stop()
        self._note_outcomes()
        async with self._unit_of_work() as tx:
            await self._store(tx)
            await tx.outbox.release(by=self._relay)
        self._forget_stored(())

    async def _claim(self) -> tuple[Sequence[Announcement], Sequence[OutboxEntry]]:
        """Store what has become of the last claim, and claim anew.

        Return the announcements whose time has come, and the waiting work that is tried again.
        """
        self._note_outcomes()
        now, announcer = self._now(), self._announcer
        looks = not announcer.is_busy and self._is_time_to_look(now)
        late: Sequence[Announcement] = ()
        async with self._unit_of_work() as tx:
            await self._store(tx)
            # Entries in flight are the oldest of the outbox, so this claim returns them again, beyond the limit.
            claimed = await tx.outbox.claim(by=self._relay, limit=self._limit + len(announcer.in_flight))
            if looks:
                late = await self._due(tx)
            late_work = await self._enqueuer.due(tx, now)
        self._forget_stored(claimed)
        if looks:
            self._note_waiting(late, now)
        return late, late_work

    async def _due(self, tx: Transaction) -> list[Announcement]:
        probing = self._announcer.probing
        within = LONGEST_DELAY if probing.takes_early else timedelta(0)
        return await tx.announcements.due(within=within, by=self._relay, limit=min(probing.orders, self._limit))

    def _is_time_to_look(self, now: datetime) -> bool:
        if self._looked_at is None:
            return True
        pause = self._announcer.probing.pause if self.refused_since else _LOOK_SELDOM
        # The difference is negative after the clock was set back. Look then, too.
        return not timedelta(0) <= now - self._looked_at < pause

    def _note_waiting(self, late: Sequence[Announcement], now: datetime) -> None:
        self._looked_at = now
        if late:
            self.refused_since = min(
                [each.since for each in late] + ([self.refused_since] if self.refused_since else [])
            )
        elif self._announcer.probing.takes_early:
            # Nothing waits any more.
            self._announcer.probing.reset()
            self.refused_since = None

    async def _store(self, tx: Transaction) -> None:
        if (self._put_off or self._heard_late) and not await tx.outbox.renew(by=self._relay):
            self._forget_outcomes()
        await tx.outbox.remove(self._done())
        if self._heard_late:
            await tx.announcements.remove(self._heard_late)
        if self._put_off:
            await tx.announcements.put_off(list(self._put_off.values()))
        await self._enqueuer.store(tx)

    def _forget_outcomes(self) -> None:
        """Leave it to a relay that has been at work meanwhile: what it has not announced, it announces again.

        What was put off here behind another announcement may be next in line by now, or done. It would wait for hours,
        and hold up what comes after it.
        """
        self._told -= self._put_off.keys()
        self._heard_late, self._put_off = [], {}

    def _forget_stored(self, claimed: Sequence[OutboxEntry]) -> None:
        self._claimed = claimed
        positions = {each.position for each in claimed}
        self._enqueued &= positions
        self._told &= positions
        # Put off by a relay that has died, while its queue took no work.
        self._told.update(each.position for each in claimed if each.is_put_off)
        self._heard_late, self._put_off = [], {}
        self._enqueuer.forget_stored()

    def _note_outcomes(self) -> None:
        outcomes = self._announcer.take_outcomes()
        self._told.update(each.position for each in (*outcomes.heard, *outcomes.heard_late))
        self._told.update(outcomes.put_off)
        self._heard_late += outcomes.heard_late
        for entry in outcomes.heard_late:
            self._put_off.pop(entry.position, None)
        self._put_off |= outcomes.put_off
        if self.refused_since is None and (
            refused := [each.since for each in outcomes.put_off.values() if each.attempts]
        ):
            self.refused_since = min(refused)

    def _done(self) -> list[OutboxEntry]:
        return [
            each
            for each in self._claimed
            if each.position in self._told and (each.position in self._enqueued or each.type not in QUEUE_OF)
        ]
