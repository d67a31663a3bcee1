from collections.abc import Collection, Sequence
from datetime import datetime

from attrs import frozen

from adapters.memory.store import Changes
from application.ports.sessions import Session


@frozen
class MemoryEndedSessions:
    _changes: Changes

    async def add_many(self, sessions: Sequence[Session]) -> None:
        there = self._changes.sessions_that_ended()
        self._changes.ended_sessions.update({each.id: each.until for each in sessions if each.id not in there})

    async def among(self, ids: Collection[str]) -> set[str]:
        return self._changes.sessions_that_ended().keys() & set(ids)

    async def remove(self, moment: datetime, *, limit: int) -> int:
        over = [id_ for id_, until in self._changes.sessions_that_ended().items() if until < moment][:limit]
        self._changes.ended_sessions.update(dict.fromkeys(over))
        return len(over)
