"""What can happen to PostgreSQL and to the way there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from tests.integration.faults.fault import Fault
from tests.integration.faults.house import House


@asynccontextmanager
async def _restarted(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.postgres.restart)
    yield


@asynccontextmanager
async def _killed(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.postgres.kill)
    await asyncio.to_thread(house.postgres.start)
    yield


@asynccontextmanager
async def _down(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.postgres.stop)
    yield
    await asyncio.to_thread(house.postgres.start)


@asynccontextmanager
async def _frozen(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.postgres.pause)
    yield
    await asyncio.to_thread(house.postgres.resume)


FAULTS: Final = (
    Fault(name="PostgreSQL is restarted", breaking=_restarted, hold=1),
    Fault(name="PostgreSQL is killed (kill -9)", breaking=_killed, hold=1),
    Fault(name="PostgreSQL is stopped for 5 s", breaking=_down, hold=5),
    Fault(name="PostgreSQL is frozen for 5 s", breaking=_frozen, hold=5),
)
