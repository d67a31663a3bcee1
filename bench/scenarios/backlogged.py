"""A million messages wait for a worker: how its memory grows."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

import uvloop
from attrs import frozen

from adapters.rabbitmq.topology import Topology
from bench.aims import at_most
from bench.backlog import REQUESTS_OF_AN_ORDER, Count, open_counter, pile_up
from bench.measure import Measured, Usage, Window
from bench.options import Options, machine
from bench.result import KEPT, Result
from bench.shops import Shop, engine_of, open_servers, open_shop
from bench.usage import memory_by_process
from bench.wrk import Load
from tests.service import until

_CONSUMER: Final = "payments"
_READY_SECONDS: Final = 30.0
# Between looks at the worker's memory.
_LOOK_EVERY: Final = 0.2
# A process grows by 4 to 7 MB with its first batches. If it held all waiting messages, it would grow by hundreds.
_MAY_GROW: Final = 1.1
_HOW: Final = (
    f"the request of each order waits {REQUESTS_OF_AN_ORDER} times, in any order: the first is worked on, and the"
    " others are recognised; the relay does not run"
)


def backlog(options: Options) -> Result:
    """Payment requests wait, 1,000,000 by default, and one worker starts. The completed units are messages."""
    with open_servers() as servers:
        settings = servers.settings("shop")
        with open_shop(["api"], settings, servers=servers, orders=0, say=options.say) as shop:
            found = uvloop.run(_work_off(shop, options))
            here = machine(shop.versions())
            options.say("checking the data")
            shop.service.stop()
            findings = _findings(shop)
            paid = shop.data.paid()
    measured, highest = Measured([found.window]), max(found.worker_mb)
    return Result(
        scenario="backlog",
        about="",
        seconds=options.seconds,
        orders=0,
        accepted_per_s=None,
        completed_per_s=measured.completed_per_s,
        ceiling_per_s=None,
        ratio_to_ceiling=None,
        unbatched_per_s=None,
        ratio_to_unbatched=None,
        p50_ms=None,
        p99_ms=None,
        p999_ms=None,
        refused_or_broken=0,
        cpu_ms_per_order=measured.cpu_ms_each,
        cores_busy=measured.cores_busy,
        memory_mb=found.memory_mb,
        figures={
            "messages_waiting": found.waiting,
            "messages_done": measured.completed,
            "orders_paid": paid,
            "worker_ready_mb": found.worker_mb[0],
            "worker_highest_mb": highest,
            "worker_at_the_end_mb": found.worker_mb[-1],
            "how": _HOW,
        },
        invariants="; ".join(findings) or KEPT,
        reach=[
            at_most(
                "memory of the worker, of what it was when it was ready", highest / found.worker_mb[0], _MAY_GROW, " x"
            )
        ],
        machine=here,
    )


@frozen
class _Found:
    waiting: int
    """Before the worker came."""
    window: Window
    worker_mb: Sequence[float]
    """From when it was ready until the end."""
    memory_mb: dict[str, float]


async def _work_off(shop: Shop, options: Options) -> _Found:
    url, topology = _broker(shop)
    async with engine_of(shop.service) as engine:
        await pile_up(engine, url, topology, count=options.messages, say=options.say)
    async with open_counter(url) as count:
        waiting, _ = await count(topology.queue(_CONSUMER))
        options.say(f"{waiting:,} messages wait for the worker")
        shop.service.start("worker")
        await until(lambda: _consumed(count, topology), seconds=_READY_SECONDS, what="the worker is ready")
        worker_mb = [_memory_of_worker(shop)]
        before, (first, _) = Usage.of(shop), await count(topology.queue(_CONSUMER))
        left = first
        while left and time.monotonic() < before.at + options.seconds:
            await asyncio.sleep(_LOOK_EVERY)
            worker_mb.append(_memory_of_worker(shop))
            left, _ = await count(topology.queue(_CONSUMER))
        after, done = Usage.of(shop), first - left
    seconds = after.at - before.at
    window = Window.between(before, after, load=Load(requests=done, seconds=seconds), completed=done, seconds=seconds)
    return _Found(waiting, window, worker_mb, memory_by_process(shop.pids))


def _broker(shop: Shop) -> tuple[str, Topology]:
    return shop.service.settings["AMQP_URL"], Topology(shop.service.settings["HOLDFAST_NAMESPACE"])


async def _consumed(count: Count, topology: Topology) -> bool:
    _, consumers = await count(topology.queue(_CONSUMER))
    return consumers > 0


def _memory_of_worker(shop: Shop) -> float:
    [memory] = memory_by_process({"worker": shop.pids["worker"]}).values()
    return memory


def _findings(shop: Shop) -> list[str]:
    """The findings about the data, and about dead-lettered messages."""
    dead = uvloop.run(_dead(shop)) + shop.data.number("SELECT count(*) FROM dead_letters")
    return shop.data.findings() + ([f"{dead} messages were dead-lettered"] if dead else [])


async def _dead(shop: Shop) -> int:
    url, topology = _broker(shop)
    async with open_counter(url) as count:
        dead, _ = await count(topology.dead(_CONSUMER))
    return dead
