import asyncio
import math
from collections.abc import Callable
from time import monotonic
from typing import Final

import structlog
from attrs import define, field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.transaction import one_transaction
from adapters.sql.lease import Lease
from adapters.sql.tables.shop import leases
from application.errors import Trouble

# The fence is a lease that ends by itself if its process does.
_NAME: Final = "caches"
SECONDS: Final = 5.0
# Seconds from the raising until every process has looked.
SETTLE: Final = 0.5

_LEASE: Final = Lease(_NAME, SECONDS, shared=True)
_SEEN: Final = select(leases.c.name).where(_LEASE.lasts())

_log = structlog.get_logger("holdfast.caches")


@define(eq=False)
class SqlCacheFence:
    _engine: AsyncEngine
    # The name of this process, for people who look into the table.
    _by: str
    # Whether this process still can't invalidate in the shared caches.
    _is_needed: Callable[[], bool]
    _settle: float = field(default=SETTLE, kw_only=True)
    _time: Callable[[], float] = field(default=monotonic, kw_only=True)
    _raising: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    # When the fence that this process has raised ends, and from when on all know of it.
    _ends: float = field(default=-math.inf, init=False)
    _settled: float = field(default=-math.inf, init=False)
    # Until when the fence that was seen at the last look may be up.
    _seen_until: float = field(default=-math.inf, init=False)

    def is_up(self) -> bool:
        return self._time() < self._seen_until

    async def raise_and_wait(self) -> None:
        async with self._raising:
            # While it is up it is kept up by `look`.
            if self._time() > self._ends:
                _log.warning("this process can't invalidate what is cached: no process reads there meanwhile")
                if not await self._keep_up():
                    return
                self._settled = self._time() + self._settle
        await asyncio.sleep(max(0.0, self._settled - self._time()))

    async def look(self) -> None:
        if self._ends > -math.inf:
            if not self._is_needed():
                self._ends = -math.inf
            elif self._time() > self._ends - SECONDS / 2:
                await self._keep_up()
        asked = self._time()
        try:
            async with one_transaction(self._engine, writing=False) as block:
                is_up = bool(await block.fetch(_SEEN))
        except Trouble:
            # Without the database nobody commits. A fence that was seen ends by itself.
            return
        self._seen_until = asked + SECONDS if is_up else -math.inf

    async def _keep_up(self) -> bool:
        began = self._time()
        try:
            async with one_transaction(self._engine, writing=True) as block:
                await block.change(_LEASE.taking(block.dialect), {"by": self._by})
        except Trouble as error:
            _log.warning("others may read older versions of orders until they expire", reason=str(error))
            return False
        self._ends = began + SECONDS
        return True
