from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.connecting import connected
from adapters.sql.tables.shop import shop


async def shop_id(engine: AsyncEngine) -> UUID | None:
    """The random id that the database got with its tables. A restored or copied database has the same one.

    Raise `Unavailable`.
    """
    async with connected(engine, reading=True) as connection:
        found: UUID | None = (await connection.execute(select(shop.c.id))).scalar()
    return found
