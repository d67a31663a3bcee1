from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.connecting import connected

_QUERIES: Final = {"postgresql": "SHOW server_version", "sqlite": "SELECT sqlite_version()"}
_NAMES: Final = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}


async def server_version(engine: AsyncEngine) -> str:
    """As in `PostgreSQL 15.19`. Raise `Unavailable`, whose words tell a person what to look at."""
    dialect = engine.dialect.name
    async with connected(engine, reading=True) as connection:
        version = str((await connection.execute(text(_QUERIES[dialect]))).scalar_one())
    # Debian adds its own number in brackets.
    return f"{_NAMES[dialect]} {version.split(maxsplit=1)[0]}"
