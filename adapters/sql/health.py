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
