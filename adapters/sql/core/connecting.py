from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.sql.core.engine import backend_of
from adapters.sql.core.errors import translated
from adapters.sql.core.finishing import finish
from adapters.sql.dialects.base import READING


@asynccontextmanager
async def connected(engine: AsyncEngine, *, reading: bool = False) -> AsyncGenerator[AsyncConnection, None]:
    """A connection for what is no use case: nothing is committed by itself. Raise `Unavailable` or `Aborted`.

    Whoever is only `reading` waits for no writer.
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
