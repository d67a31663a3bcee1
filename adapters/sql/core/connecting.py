from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.sql.core.engine import backend_of
from adapters.sql.core.errors import translated
from adapters.sql.core.finishing import finish
from adapters.sql.dialects.base import READING


@asynccontextmanager
async def connected(engine: AsyncEngine, *, reading: bool = False) -> AsyncGenerator[AsyncConnection, None]:
    """Open a connection outside of any use case. Nothing is committed implicitly. Raise `Unavailable` or `Aborted`.

    With `reading`, the connection begins no write transaction, so it does not wait for another writer.
    """
    connection = engine.execution_options(**{READING: reading}).connect()
    try:
        await connection.start()
        yield connection
    except Exception as error:
        known = translated(error, backend_of(engine))
        if known is error:
            raise
        raise known from error
    finally:
        if connection.sync_connection is not None:
            await finish(connection.close())
