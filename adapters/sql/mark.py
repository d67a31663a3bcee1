from attrs import frozen
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.transaction import one_transaction
from application.ports.caching import DatabaseMark


@frozen
class SqlDatabaseMarks:
    """Reads the mark over a connection of the engine's pool."""

    _engine: AsyncEngine

    async def current(self) -> DatabaseMark | None:
        async with one_transaction(self._engine, writing=False) as block:
            if block.dialect.mark is None:
                return None
            (row,) = await block.fetch(block.dialect.mark)
        return None if row.position is None else DatabaseMark(row.identity, row.position)
