"""Whether the database is the one that the programs of the shop have worked with, or was restored from a backup."""

from datetime import datetime
from typing import Final

import structlog
from attrs import define, field, frozen
from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.transaction import TransactionBlock, one_transaction
from adapters.sql.heartbeats import SqlHeartbeats
from adapters.sql.tables.shop import shop

_log = structlog.get_logger("holdfast.database")

_KEPT: Final = select(shop.c.lineage)
_KEEP: Final = update(shop).values(lineage=bindparam("now", type_=shop.c.lineage.type))


@frozen
class SqlLineage:
    """The lineage that is kept in the database, and the one that the server tells. Raise `Trouble`."""

    _engine: AsyncEngine

    async def problem(self) -> str | None:
        """Why no program may start, in words for a person, or None."""
        async with one_transaction(self._engine, writing=False) as block:
            kept, now = await _both(block)
        if now is None or kept in {None, now}:
            return None
        return (
            "the database was restored from a backup, or its server was promoted while no worker and no relay was at"
            " work: run `holdfast restored --since TIME` once, with the time of the backup, before anything is started"
        )

    async def keep_first(self) -> None:
        """The first program that starts keeps what the database is."""
        async with one_transaction(self._engine, writing=False) as block:
            kept, now = await _both(block)
        if kept is None and now is not None:
            await self.begin()

    async def begin(self) -> None:
        """Keep what the database is now: programs may start."""
        async with one_transaction(self._engine, writing=True) as block:
            _, now = await _both(block)
            if now is not None:
                await block.change(_KEEP, {"now": now})


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
    # The last heartbeat, and the one before. Nobody waits until the last one is safe, so the one before counts.
    _last: datetime | None = field(default=None, init=False)
    _safe: datetime | None = field(default=None, init=False)
    # Lineages in which this process has missed what it had written.
    _older: set[str] = field(factory=set, init=False)

    async def look(self) -> None:
        async with one_transaction(self._engine, writing=False) as block:
            kept, now = await _both(block)
            if now is None or kept is None or kept == now or now in self._older or self._safe is None:
                return
            found = await self._heartbeats.seen(block, self._kind, self._instance)
        if found is not None and found >= self._safe:
            _log.info("the database has another server, and all that was written")
            await SqlLineage(self._engine).begin()
            return
        self._older.add(now)
        _log.error(
            "the database was set back: stop all programs, and run `holdfast restored --since TIME`, with the time of"
            " the backup"
        )

    async def wrote(self) -> None:
        async with one_transaction(self._engine, writing=False) as block:
            self._safe, self._last = self._last, await self._heartbeats.seen(block, self._kind, self._instance)


async def _both(block: TransactionBlock) -> tuple[str | None, str | None]:
    """The lineage that is kept, and that of now. Both are None where a restored database can't be recognised."""
    if block.dialect.lineage is None:
        return None, None
    kept, now = await block.fetch(_KEPT), await block.fetch(block.dialect.lineage)
    return (kept[0].lineage if kept else None), now[0].lineage
