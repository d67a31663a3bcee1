"""Says of a process that it is at work, for `holdfast status`, `doctor` and `/health/ready`."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

from adapters.sql.heartbeats import Heartbeat, SqlHeartbeats
from application.errors import Trouble
from entrypoints.loops import repeat

RELAY: Final = "relay"
WORKER: Final = "worker"
# What each kind does while it is there.
KINDS: Final = {WORKER: "payments and refunds", RELAY: "events and the requests for the worker"}

_EVERY: Final = 5.0
# Seconds without a heartbeat after which a process counts as dead: three are missed, and the database was slow.
DEAD_AFTER: Final = 20.0
_END_WITHIN: Final = 1.0


@asynccontextmanager
async def heard_of(heartbeats: SqlHeartbeats, *kinds: str) -> AsyncGenerator[None, None]:
    """While the block lasts, this process is known to be at work as each of these kinds."""
    instance, stop = f"{socket.gethostname()}:{os.getpid()}"[:200], asyncio.Event()

    async def beat() -> float:
        for kind in kinds:
            await heartbeats.beat(kind, instance)
        return _EVERY

    beating = asyncio.create_task(repeat(beat, stop, name="heartbeat"))
    try:
        yield
    finally:
        stop.set()
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        with suppress(Trouble, TimeoutError):
            async with asyncio.timeout(_END_WITHIN):
                for end in (partial(heartbeats.end, kind, instance) for kind in kinds):
                    await end()


def missing(heard: Sequence[Heartbeat]) -> list[str]:
    """The kinds of which no process is known to be at work."""
    at_work = {each.kind for each in heard if each.age is not None and each.age < DEAD_AFTER}
    return [kind for kind in KINDS if kind not in at_work]
