from attrs import frozen
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.finishing import finish
from adapters.sql.core.transaction import TransactionBlock
from application.ports.caching import DatabaseMark


@frozen
class SqlDatabaseMarks:
    """Reads the mark over a connection of the engine's pool."""

    _engine: AsyncEngine

    async def current(self) -> DatabaseMark | None:
        block = TransactionBlock(self._engine, writing=False)
        if block.dialect.mark is None:
            return None
        try:
            (row,) = await block.fetch(block.dialect.mark)
        finally:
            await finish(block.rollback())
        return None if row.position is None else DatabaseMark(row.identity, row.position)
