"""Whether the database is the one that the programs of the shop have worked with, or was restored from a backup."""

from typing import Final

from attrs import frozen
from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.transaction import TransactionBlock, one_transaction
from adapters.sql.tables.shop import shop

_KEPT: Final = select(shop.c.lineage)
_KEEP: Final = update(shop).values(lineage=bindparam("now", type_=shop.c.lineage.type))


@frozen
class SqlLineage:
    """The lineage that is kept in the database, and the one that the server tells. Raise `Trouble`."""

    _engine: AsyncEngine

    async def problem(self) -> str | None:
        """Why no program may start, in words for a person, or None."""
        async with one_transaction(self._engine, writing=False) as block:
            kept, now = await both(block)
        if now is None or kept in {None, now}:
            return None
        return (
            "the database was restored from a backup, or its server was promoted while no worker and no relay was at"
            " work: run `holdfast restored --since TIME` once, with the time of the backup, before anything is started"
        )

    async def keep_first(self) -> None:
        """The first program that starts keeps what the database is."""
        async with one_transaction(self._engine, writing=False) as block:
            kept, now = await both(block)
        if kept is None and now is not None:
            await self.begin()

    async def begin(self) -> None:
        """Keep what the database is now: programs may start."""
        async with one_transaction(self._engine, writing=True) as block:
            _, now = await both(block)
            if now is not None:
                await block.change(_KEEP, {"now": now})


async def both(block: TransactionBlock) -> tuple[str | None, str | None]:
    """The lineage that is kept, and that of now. Both are None where a restored database can't be recognised."""
    if block.dialect.lineage is None:
        return None, None
    kept, now = await block.fetch(_KEPT), await block.fetch(block.dialect.lineage)
    return (kept[0].lineage if kept else None), now[0].lineage
