"""Says of a process that it is at work, for `holdfast status`, `doctor` and `/health/ready`."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from adapters.sql.heartbeats import Heartbeat, SqlHeartbeats
from adapters.sql.lineage import LastHeartbeat, NoLastHeartbeat
from adapters.sql.lineage_watch import LineageWatch
from application.errors import Trouble
from application.payments.provider_calls import ProviderCalls
from entrypoints.alive import API, DEAD_AFTER, NOTE_EVERY, RELAY, WORKER, forget, note
from entrypoints.loops import repeated

# The work that each kind does.
KINDS: Final = {WORKER: "payments and refunds", RELAY: "events and the requests for the worker"}

_END_WITHIN: Final = 1.0


@asynccontextmanager
async def noted_alive(*programs: str) -> AsyncGenerator[None, None]:
    """While the block lasts and the event loop turns, each of these programs is noted as alive (see `alive.py`)."""

    async def write() -> float:
        # Without a place to write, only the health check of a container fails.
        with suppress(OSError):
            for program in programs:
                note(program)
        return NOTE_EVERY

    try:
        async with repeated(write, name="alive"):
            yield
    finally:
        for program in programs:
            with suppress(OSError):
                forget(program)


@asynccontextmanager
async def heard_of(
    heartbeats: SqlHeartbeats, *kinds: str, last: LastHeartbeat | None = None, calls: ProviderCalls | None = None
) -> AsyncGenerator[None, None]:
    """While the block lasts, this process is known to be at work as each of these kinds.

    The heartbeat of a worker tells how its `calls` to the payment provider go.
    """
    instance = f"{socket.gethostname()}:{os.getpid()}"[:200]

    lineage = LineageWatch(heartbeats.engine, heartbeats, kinds[0], instance, last or NoLastHeartbeat())

    async def beat() -> float:
        if not await lineage.look():
            return NOTE_EVERY
        for kind in kinds:
            if kind == WORKER and calls is not None:
                await heartbeats.beat(kind, instance, calls.report())
            else:
                await heartbeats.beat(kind, instance)
        await lineage.wrote()
        return NOTE_EVERY

    try:
        async with repeated(beat, name="heartbeat"), noted_alive(*kinds):
            yield
    finally:
        with suppress(Trouble, TimeoutError):
            async with asyncio.timeout(_END_WITHIN):
                for kind in kinds:
                    await heartbeats.end(kind, instance)


def missing(heard: Sequence[Heartbeat]) -> list[str]:
    """The kinds of which no process is known to be at work."""
    at_work = {each.kind for each in heard if each.age is not None and each.age < DEAD_AFTER}
    return [kind for kind in KINDS if kind not in at_work]


async def an_api_is_at_work(heartbeats: SqlHeartbeats) -> bool:
    """Whether customers can ask for anything, as far as that is known. Raise `Unavailable`."""
    heard = [each for each in await heartbeats.all() if each.kind == API]
    return any(each.age is None or each.age < DEAD_AFTER for each in heard)
