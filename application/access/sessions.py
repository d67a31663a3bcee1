"""The sessions of the console. One is over with its time, with its key, or when its browser signs out."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

from attrs import define, field, frozen

from application.errors import Trouble
from application.ports.environment import Clock, Elapsed, loop_time
from application.ports.persistence import UnitOfWork
from application.ports.sessions import Session

# The clocks of two processes may differ, but not by so much.
_KEPT_LONGER: Final = timedelta(days=1)
_BATCH: Final = 500


@frozen
class FindEndedSessions:
    """Tell which sessions were ended."""

    _unit_of_work: UnitOfWork

    async def __call__(self, ids: Sequence[str]) -> Sequence[bool]:
        async with self._unit_of_work.reading() as tx:
            ended = await tx.ended_sessions.among(set(ids))
        return [id_ in ended for id_ in ids]


@frozen
class RecordEndedSessions:
    _unit_of_work: UnitOfWork

    async def __call__(self, sessions: Sequence[Session]) -> Sequence[None]:
        async with self._unit_of_work() as tx:
            await tx.ended_sessions.add_many(sessions)
        return [None] * len(sessions)


@frozen
class RemoveSessions:
    """Remove the ends of sessions that would be over by now in any case. Return how many."""

    _unit_of_work: UnitOfWork
    _now: Clock

    async def __call__(self) -> int:
        total = 0
        while True:
            async with self._unit_of_work() as tx:
                removed = await tx.ended_sessions.remove(self._now() - _KEPT_LONGER, limit=_BATCH)
            total += removed
            if removed < _BATCH:
                return total


@define(eq=False)
class ConsoleSessions:
    """Tells which sessions are open, and ends them for every process.

    Each call looks into the database. While that does not answer, a session that was found open here within the last
    hour is believed to be: people on duty need the console then, and a key that is known works on for as long.
    """

    # `FindEndedSessions` and `RecordEndedSessions`, batched and with their timeouts.
    _is_ended: Callable[[str], Awaitable[bool]]
    _record: Callable[[Session], Awaitable[None]]
    _time: Elapsed = field(default=loop_time, kw_only=True)
    # Seconds.
    _without_database: float = field(default=3600.0, kw_only=True)
    _most: int = field(default=10_000, kw_only=True)
    # By id: when a session was found open, and None for one that was ended. The longest known first.
    _known: OrderedDict[str, float | None] = field(factory=OrderedDict, init=False)

    def begin(self, session: Session) -> None:
        """Know a new session, which nobody can have ended yet."""
        self._note(session.id, self._time())

    async def is_open(self, session: Session) -> bool:
        """Raise `Trouble` if the database does not answer, and the session was not found open here lately."""
        looked_at = self._time()
        try:
            ended = self._was_ended(session) or await self._is_ended(session.id)
        except Trouble:
            found_open = self._known.get(session.id)
            if not self._was_ended(session) and (found_open is None or looked_at - found_open > self._without_database):
                raise
            ended = False
        else:
            # What this process ended during the look stays ended.
            if not self._was_ended(session):
                self._note(session.id, None if ended else looked_at)
        return not ended and not self._was_ended(session)

    async def end(self, session: Session) -> None:
        """Raise `Trouble` if other processes may not hear of it. In this one it is ended all the same."""
        self._note(session.id, None)
        await self._record(session)

    def _was_ended(self, session: Session) -> bool:
        return session.id in self._known and self._known[session.id] is None

    def _note(self, id_: str, found_open: float | None) -> None:
        self._known[id_] = found_open
        while len(self._known) > self._most:
            self._known.popitem(last=False)
