from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.sql.core.connecting import connected
from adapters.sql.core.engine import backend_of, create_engine
from adapters.sql.core.finishing import finish
from application.ports.messaging import OutboxSignal

_STATEMENT_TIMEOUT: Final = 2.0
# One that sends and one that listens.
_POOL_SIZE: Final = 2


@asynccontextmanager
async def open_outbox_signal(
    engine: AsyncEngine, in_process: OutboxSignal | None = None
) -> AsyncGenerator[OutboxSignal, None]:
    """Wake the relays of every process on this database, over connections of its own. It need not be up yet.

    A database that can tell other processes nothing leaves it at `in_process`, and the relays of others to look by
    themselves. Raise `ValueError` when there is none.
    """
    dialect = backend_of(engine).dialect
    if dialect.signal is None:
        if in_process is None:
            raise ValueError(f"{dialect.name} can wake no other process: give a signal for this one")
        yield in_process
        return
    own = create_engine(backend_of(engine).url, pool_size=_POOL_SIZE, statement_timeout=_STATEMENT_TIMEOUT)
    each_by_itself = own.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def connect() -> AsyncGenerator[AsyncConnection, None]:
        async with connected(each_by_itself) as connection:
            try:
                yield connection
            finally:
                # Not back into the pool: it listens, or is broken.
                await finish(connection.invalidate())

    signal = dialect.signal(connect)

    async def close() -> None:
        await signal.close()
        await own.dispose()

    try:
        yield signal
    finally:
        await finish(close())
