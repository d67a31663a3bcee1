from datetime import datetime

import structlog
from attrs import define, field
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.transaction import one_transaction
from adapters.sql.heartbeats import SqlHeartbeats
from adapters.sql.lineage import LastHeartbeat, NoLastHeartbeat, SqlLineage, both

_log = structlog.get_logger("holdfast.database")


@define(eq=False)
class LineageWatch:
    """Keeps the new lineage after a failover, which a restore looks like, since both begin a new timeline.

    A process that is at work can tell them apart. After a failover, the database has what the process has written.
    After a restore it has not. `look` is called before each heartbeat of the process, and `wrote` after it.
    """

    _engine: AsyncEngine
    _heartbeats: SqlHeartbeats
    _kind: str
    _instance: str
    _noted: LastHeartbeat = field(factory=NoLastHeartbeat)
    # The last heartbeat, and the one before. Nobody waits until the last one is safe, so the one before counts.
    _last: datetime | None = field(default=None, init=False)
    _safe: datetime | None = field(default=None, init=False)
    # Lineages in which this process has missed what it had written.
    _older: set[str] = field(factory=set, init=False)

    async def look(self) -> bool:
        """Return whether the process may write that it is at work.

        One that has just begun may not, while nobody knows where the database comes from: its heartbeat would hide how
        old the others are.
        """
        async with one_transaction(self._engine, writing=False) as block:
            kept, now = await both(block)
            if now is None or kept is None or kept == now or now in self._older:
                return True
            if self._safe is None:
                return False
            found = await self._heartbeats.seen(block, self._kind, self._instance)
        if found is not None and found >= self._safe:
            _log.info("the database has another server, and all that was written")
            await SqlLineage(self._engine).begin()
            return True
        self._older.add(now)
        _log.error(
            "the database was set back: stop all programs, and run `holdfast restored --since TIME`, with the time of"
            " the backup"
        )
        return True

    async def wrote(self) -> None:
        async with one_transaction(self._engine, writing=False) as block:
            self._safe, self._last = self._last, await self._heartbeats.seen(block, self._kind, self._instance)
            kept, now = await both(block)
        if self._last is not None and kept == now:
            await self._noted.note(self._last)
