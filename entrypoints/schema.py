"""Whether the tables are those of this version, and have all that was ever written."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from adapters.sql.lineage import SqlLineage
from adapters.sql.schema import schema_problem
from application.errors import Trouble
from entrypoints.container import Container
from entrypoints.database import NotReady
from entrypoints.loops import Stop, pause

# Seconds between two attempts to reach the database.
_LOOK_EVERY: Final = 1.0


async def demand_schema(container: Container) -> None:
    """Refuse to work on tables of another release. Raise `NotReady`, and `Unavailable` without a database."""
    problem = await schema_problem(container.engine())
    if problem is not None:
        raise NotReady(problem)


async def demand_lineage(container: Container) -> None:
    """Refuse to work on a database that was restored from a backup, and not compared with the provider's charges yet.

    Raise `NotReady`, and `Unavailable` without a database.
    """
    problem = await SqlLineage(container.engine(), container.last_heartbeat()).keep()
    if problem is not None:
        raise NotReady(problem)


async def expect_schema(container: Container, stop: Stop) -> None:
    """As `demand_schema`, and refuse a restored database. Wait for one that is out of reach, until the stop."""
    while not stop.is_set() and not await stop.until_first(_is_checked(container)):
        await pause(_LOOK_EVERY, stop)


@asynccontextmanager
async def schema_expected(container: Container, stop: Stop) -> AsyncGenerator[None, None]:
    """As `expect_schema`, for a program that can work without the database: it waits beside the work.

    If the tables turn out to be of another release, the program is stopped, and `NotReady` is raised at its end.
    """
    if await _is_checked(container):
        yield
        return
    expecting = asyncio.create_task(expect_schema(container, stop))
    expecting.add_done_callback(lambda done: None if done.cancelled() or not done.exception() else stop.set())
    try:
        yield
    finally:
        expecting.cancel()
        [refused] = await asyncio.gather(expecting, return_exceptions=True)
    if isinstance(refused, NotReady):
        raise refused


async def _is_checked(container: Container) -> bool:
    """Raise `NotReady`."""
    try:
        await demand_schema(container)
        await demand_lineage(container)
    except Trouble:
        return False
    return True
