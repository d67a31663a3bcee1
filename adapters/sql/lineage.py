"""Whether the database is the one that the programs of the shop have worked with, or was restored from a backup."""

from datetime import datetime, timedelta
from typing import Final, Protocol

from attrs import frozen
from sqlalchemy import bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.transaction import TransactionBlock, one_transaction
from adapters.sql.tables.shop import heartbeats, shop

_KEPT: Final = select(shop.c.lineage)
_KEEP: Final = update(shop).values(lineage=bindparam("now", type_=shop.c.lineage.type))
_NEWEST: Final = select(func.max(heartbeats.c.seen_at).label("seen_at"))
# A heartbeat is noted elsewhere after it was written, and nobody waits until it is safe: about two may be missing.
_LEVEL: Final = timedelta(seconds=10)


class LastHeartbeat(Protocol):
    """When a program of the shop was heard of the last time, noted apart from the database. It never raises."""

    async def note(self, at: datetime) -> None: ...

    async def get(self) -> datetime | None: ...


@frozen
class NoLastHeartbeat:
    """Where nothing is noted, nothing is known."""

    async def note(self, at: datetime) -> None: ...

    async def get(self) -> datetime | None:
        return None


@frozen
class SqlLineage:
    """The lineage that is kept in the database, and the one that the server tells. Raise `Trouble`."""

    _engine: AsyncEngine
    # A server that has the last heartbeat was promoted, and not restored from a backup.
    _last_heartbeat: LastHeartbeat = NoLastHeartbeat()

    async def problem(self) -> str | None:
        """Why no program may start, in words for a person, or None. Nothing is written."""
        return await self._problem_of(*await self._both())

    async def _problem_of(self, kept: str | None, now: str | None) -> str | None:
        if now is None or kept in {None, now} or await self._has_last_heartbeat():
            return None
        return (
            "the database was restored from a backup, or its server was promoted while nothing was at work: run"
            " `holdfast restored --since TIME` once, with the time of the backup, before anything is started"
        )

    async def keep(self) -> str | None:
        """As `problem`. Where there is none, what the database is now is kept, also for programs that can't tell."""
        # What is judged is what is kept: the next connection may lead to another server.
        kept, now = await self._both()
        problem = await self._problem_of(kept, now)
        if problem is None and now is not None and now != kept:
            if kept is not None:
                # Commands import this file, and most of them log nothing.
                import structlog  # noqa: PLC0415

                log = structlog.get_logger("holdfast.database")
                log.info("the database has another server, and all that was written")
            async with one_transaction(self._engine, writing=True) as block:
                await block.change(_KEEP, {"now": now})
        return problem

    async def begin(self) -> None:
        """Keep what the database is now, whatever it was: programs may start."""
        async with one_transaction(self._engine, writing=True) as block:
            _, now = await both(block)
            if now is not None:
                await block.change(_KEEP, {"now": now})

    async def _has_last_heartbeat(self) -> bool:
        noted = await self._last_heartbeat.get()
        if noted is None:
            return False
        async with one_transaction(self._engine, writing=False) as block:
            [found] = await block.fetch(_NEWEST)
        return found.seen_at is not None and abs(found.seen_at - noted) <= _LEVEL

    async def _both(self) -> tuple[str | None, str | None]:
        async with one_transaction(self._engine, writing=False) as block:
            return await both(block)


async def both(block: TransactionBlock) -> tuple[str | None, str | None]:
    """The lineage that is kept, and that of now. Both are None where a restored database can't be recognised."""
    if block.dialect.lineage is None:
        return None, None
    kept, now = await block.fetch(_KEPT), await block.fetch(block.dialect.lineage)
    return (kept[0].lineage if kept else None), now[0].lineage
