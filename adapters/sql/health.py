from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.connecting import connected
from adapters.sql.core.engine import backend_of


async def server_version(engine: AsyncEngine) -> str:
    """As in `PostgreSQL 15.19`. Raise `Unavailable`, whose words tell a person what to look at."""
    dialect = backend_of(engine).dialect
    async with connected(engine, reading=True) as connection:
        version = str((await connection.execute(text(dialect.version))).scalar_one())
    # Debian adds its own number in brackets.
    return f"{dialect.name} {version.split(maxsplit=1)[0]}"


async def holding_back_vacuum(engine: AsyncEngine) -> list[str]:
    """What keeps removed rows from being cleaned up for more than a minute: queries grow slower the longer it lasts.

    Raise `Unavailable`.
    """
    query = backend_of(engine).dialect.holding_back_vacuum
    if query is None:
        return []
    async with connected(engine, reading=True) as connection:
        rows = (await connection.execute(text(query))).all()
    return [row.holder + (f" since {row.since:%Y-%m-%d %H:%M:%S %Z}" if row.since else "") for row in rows]
