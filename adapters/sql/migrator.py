"""Changes tables while others work with them: each attempt is short, and one that gets in the way is made again."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import structlog
from attrs import frozen
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.sql.core.connecting import connected
from adapters.sql.core.engine import backend_of
from adapters.sql.core.finishing import finish, undisturbed
from adapters.sql.dialects.base import SqlDialect
from application.errors import Aborted, Unavailable

T = TypeVar("T")

_log: Final = structlog.get_logger("holdfast.migrate")

_SHORTEST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0

# What is done, how much of it, and of how much.
Progress = Callable[[str, int, int], None]


def tell_nothing(_what: str, _done: int, _of: int) -> None:
    pass


@frozen(kw_only=True)
class Migrator:
    """What the steps of a migration are given to work with."""

    engine: AsyncEngine
    # In seconds. After so long without a success, the tables are taken to be locked by somebody who will not let go.
    tries_for: float
    progress: Progress = tell_nothing

    @property
    def dialect(self) -> SqlDialect:
        return backend_of(self.engine).dialect

    @property
    def is_alone(self) -> bool:
        """Whether nobody else can write while it does."""
        return self.dialect.connections.one_writer

    async def patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Repeat what is rolled back because others use the tables. Raise `Aborted` when that was so for too long."""
        give_up_at, pause = time.monotonic() + self.tries_for, _SHORTEST_PAUSE
        while True:
            try:
                return await attempt()
            except Aborted as error:
                if time.monotonic() > give_up_at:
                    raise
                _log.info("others use the tables; trying again", reason=str(error), retry_in=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def once(self, work: Callable[[Connection], T]) -> T:
        """One attempt, in a transaction. Raise `Aborted` if it was rolled back because others use the tables."""

        async def run() -> T:
            async with connected(self.engine) as connection:
                result = await connection.run_sync(work)
                await connection.commit()
            return result

        return await undisturbed(run(), backend_of(self.engine))

    async def in_transaction(self, work: Callable[[Connection], T]) -> T:
        return await self.patiently(lambda: self.once(work))

    async def outside_of_transactions(self, statements: Sequence[str]) -> None:
        """One attempt; what was done stays. Raise `Aborted` as above, and `Unavailable` if rows break a rule."""
        async with self.autocommit() as connection:
            for statement in statements:
                try:
                    await connection.exec_driver_sql(statement)
                except IntegrityError as error:
                    # To a request, a row that is there already is another writer's. Here it stays there.
                    raise Unavailable(f"the rows break a rule that is new: {error.orig}") from error

    @asynccontextmanager
    async def autocommit(self) -> AsyncGenerator[AsyncConnection, None]:
        """A connection whose locks and settings end with it."""
        async with connected(self.engine) as connection:
            try:
                yield await connection.execution_options(isolation_level="AUTOCOMMIT")
            finally:
                await finish(connection.invalidate())
