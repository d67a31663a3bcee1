import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from operator import attrgetter
from typing import Final

from attrs import define, evolve, field

from application.errors import OutcomeUnknown, Trouble
from application.messaging.subscriptions import NOT_ANNOUNCED
from application.ports.environment import Clock
from application.ports.messaging import EventPublisher
from application.ports.outbox import LONGEST_DELAY, Announcement, OutboxEntry
from domain.ids import OrderId

# The wait after the first refusal. Each further refusal makes it four times as long, because services whose queues take
# the announcement get another copy at each attempt.
_FIRST_DELAY: Final = timedelta(seconds=5)
# The shortest and the longest pause between two rounds of put-off announcements, while they are refused.
_SHORTEST_PAUSE: Final = timedelta(seconds=1)
_LONGEST_PAUSE: Final = timedelta(minutes=1)
# Seconds that the relay waits for a round of announcements before it goes on with work.
_TIMEOUT: Final = 1.0


@define(eq=False)
class Outcomes:
    """The outcomes of announcements: confirmed at the first attempt, confirmed after being put off, and put off.

    An announcement counts as heard when the broker has confirmed it: no queue has refused it. `put_off` is by position,
    since the last outcome of an announcement counts.
    """

    heard: list[OutboxEntry] = field(factory=list)
    heard_late: list[OutboxEntry] = field(factory=list)
    put_off: dict[int, Announcement] = field(factory=dict)


@define(eq=False)
class Probing:
    """How many put-off announcements are tried again and when, in addition to the time that each of them has.

    While they are refused, one order at a time is tried, less and less often: more attempts would mostly send more
    copies to services that already have the event. As soon as the announcements of one order are confirmed, the next
    round tries twice as many orders, even those whose time has not come. This goes on until one is refused.
    """

    orders: int = 1
    takes_early: bool = False
    pause: timedelta = _SHORTEST_PAUSE

    def learn(self, *, tried: int, refused: int) -> None:
        if not refused:
            self.orders, self.takes_early, self.pause = 2 * tried, True, timedelta(0)
        elif refused < tried:
            self.orders, self.takes_early, self.pause = tried - refused, False, _SHORTEST_PAUSE
        else:
            pause = min(max(2 * self.pause, _SHORTEST_PAUSE), _LONGEST_PAUSE)
            self.orders, self.takes_early, self.pause = 1, False, pause

    def reset(self) -> None:
        self.orders, self.takes_early, self.pause = 1, False, _SHORTEST_PAUSE


@define(eq=False)
class Announcer:
    """Announces events in rounds, while the relay goes on with work. Work waits only a moment for a round.

    Within a round, an announcement that is not confirmed is put off with the later ones of its order.
    """

    _publisher: EventPublisher
    _now: Clock
    # The outcomes since the last `take_outcomes`.
    _outcomes: Outcomes = field(factory=Outcomes, init=False)
    _round: asyncio.Task[None] | None = field(default=None, init=False)
    # The positions of the entries in the round, and those among them that were put off before.
    _positions: Collection[int] = field(default=frozenset(), init=False)
    _late: Mapping[int, Announcement] = field(factory=dict, init=False)
    _is_slow: bool = field(default=False, init=False)
    probing: Probing = field(factory=Probing, init=False)

    @property
    def is_busy(self) -> bool:
        return self._round is not None and not self._round.done()

    @property
    def in_flight(self) -> Collection[int]:
        """The positions of the entries in a round that goes on. After a failed round, the next one sends the rest."""
        return self._positions if self.is_busy else frozenset()

    def take_outcomes(self) -> Outcomes:
        taken, self._outcomes = self._outcomes, Outcomes()
        return taken

    def begin(self, entries: Sequence[OutboxEntry], late: Sequence[Announcement]) -> None:
        """Begin a round, unless there is one. Entries that can't be part of it are put off at once.

        `entries` are all claimed entries whose outcomes nobody has taken yet.
        """
        if self.is_busy:
            self._wait_behind([each for each in entries if each.position not in self._positions], _FIRST_DELAY)
            return
        entries = self._without_outcome(entries)
        joined = {each.entry.id.order_id for each in late}
        # An entry that is held up joins this round if the announcement that it waits for is in this round.
        self._late = {each.entry.position: each for each in late}
        # Work that its queue has not taken yet is in the outbox, too.
        entries = [each for each in entries if each.position not in self._late]
        waiting = [each for each in entries if each.held_up and each.id.order_id not in joined]
        if waiting:
            # The round before may have ended since the claim, and nothing that is to come would release these.
            just_heard = {each.id.order_id for each in self._outcomes.heard_late}
            self._wait_behind([each for each in waiting if each.id.order_id in just_heard], _FIRST_DELAY)
            self._wait_behind([each for each in waiting if each.id.order_id not in just_heard], LONGEST_DELAY)
            entries = [each for each in entries if not each.held_up or each.id.order_id in joined]
        batch = entries
        if late:
            # One that was not sent in an earlier round may be older than one that was put off meanwhile.
            batch = sorted([*(each.entry for each in late), *entries], key=attrgetter("position"))
        if batch:
            self._positions = {entry.position for entry in batch}
            self._round = asyncio.get_running_loop().create_task(self._announce(batch))
            # Nobody may wait for it: work that fails ends the step before.
            self._round.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _without_outcome(self, entries: Sequence[OutboxEntry]) -> list[OutboxEntry]:
        """Leave out what a round has announced or put off since the claim. What is behind that is held up from now on.

        An entry that was in a round which failed has no outcome, and goes first again.
        """
        put_off = self._outcomes.put_off
        known = put_off.keys() | {each.position for each in (*self._outcomes.heard, *self._outcomes.heard_late)}
        first: dict[OrderId, int] = {}
        for position in sorted(put_off):
            first.setdefault(put_off[position].entry.id.order_id, position)
        return [
            evolve(each, first_put_off=first[each.id.order_id]) if each.id.order_id in first else each
            for each in entries
            if each.position not in known
        ]

    async def wait(self) -> Trouble | None:
        """Wait for the round, but not for long. Return why the rest of it was not sent, if the broker is gone."""
        if self._round is None:
            return None
        if not self._round.done():
            await asyncio.wait([self._round], timeout=0 if self._is_slow else _TIMEOUT)
        self._is_slow = self.is_busy
        if self._is_slow:
            return None
        ended, self._round = self._round, None
        try:
            ended.result()
        except Trouble as trouble:
            return trouble
        return None

    async def stop(self) -> None:
        """End the round. The next relay announces again the entries that have no outcome yet."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.wait([self._round])
            self._round = None

    async def _announce(self, batch: Sequence[OutboxEntry]) -> None:
        held_up: set[OrderId] = set()
        for wave in _one_an_order(batch):
            await self._announce_wave(wave, held_up)
        if self._late:
            tried = {each.entry.id.order_id for each in self._late.values()}
            self.probing.learn(tried=len(tried), refused=len(tried & held_up))

    async def _announce_wave(self, wave: Sequence[OutboxEntry], held_up: set[OrderId]) -> None:
        """Add the orders of those that were refused to `held_up`."""
        ready = wave
        if held_up:
            ready = [entry for entry in wave if entry.id.order_id not in held_up]
            self._wait_behind([entry for entry in wave if entry.id.order_id in held_up], LONGEST_DELAY)
        heard = await self._heard(ready)
        self._note_heard(heard)
        if len(heard) < len(ready):
            known = {entry.position for entry in heard}
            refused = [entry for entry in ready if entry.position not in known]
            held_up |= {entry.id.order_id for entry in refused}
            self._put_off(refused, lambda attempts: delay_after(attempts + 1), refusals=1)

    async def _heard(self, entries: Sequence[OutboxEntry]) -> Sequence[OutboxEntry]:
        """Return those that nothing waits for any more: they are confirmed, or of a type that is not announced."""
        silent = [entry for entry in entries if entry.type in NOT_ANNOUNCED]
        announced = [entry for entry in entries if entry.type not in NOT_ANNOUNCED]
        if not announced:
            return silent
        try:
            return [*silent, *await self._publisher.announce(announced)]
        except OutcomeUnknown:
            # Some services may have these events. Trying all again at once would send them more copies.
            return silent

    def _note_heard(self, entries: Sequence[OutboxEntry]) -> None:
        if not self._late:
            self._outcomes.heard += entries
            return
        heard_late = {entry.id.order_id: entry for entry in entries if entry.position in self._late}
        self._outcomes.heard += [entry for entry in entries if entry.position not in self._late]
        self._outcomes.heard_late += heard_late.values()
        for entry in heard_late.values():
            self._outcomes.put_off.pop(entry.position, None)
        # The rest of these orders waits for nothing any more. If this round is cut off, or the relay dies, the next one
        # must not find the time that they have in the table, which may be hours away.
        for position, each in self._late.items():
            before = heard_late.get(each.entry.id.order_id)
            if before is not None and before.position < position:
                self._outcomes.put_off[position] = evolve(each, delay=_FIRST_DELAY)

    def _wait_behind(self, entries: Sequence[OutboxEntry], delay: timedelta) -> None:
        """Put off entries that were not tried: until the announcement before each is confirmed, `delay` at most."""
        self._put_off(entries, lambda _: delay, refusals=0)

    def _put_off(self, entries: Sequence[OutboxEntry], delay: Callable[[int], timedelta], *, refusals: int) -> None:
        now = self._now()
        for entry in entries:
            before = self._late.get(entry.position)
            attempts = before.attempts if before else 0
            since = before.since if before else now
            self._outcomes.put_off[entry.position] = Announcement(
                entry=entry, attempts=attempts + refusals, since=since, delay=delay(attempts)
            )


def delay_after(attempts: int) -> timedelta:
    """Return how long an announcement is put off after this many refusals."""
    return min(_FIRST_DELAY * pow(4.0, min(attempts - 1, 10)), LONGEST_DELAY)


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
