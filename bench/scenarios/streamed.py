"""Readers follow the feed while orders are placed and paid for."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import msgspec

from bench.aims import at_least, at_most
from bench.followers import READY, Seen
from bench.loads import Customers
from bench.measure import Window, Work, interleaved, watch
from bench.open_loop import Load as Asked
from bench.open_loop import post, run
from bench.options import Options, machine
from bench.result import KEPT, Result, ratio
from bench.scenarios.living import PROGRAMS
from bench.shops import PRODUCTS, ROOT, Shop, open_servers, open_shop
from bench.usage import memory_by_process
from bench.wrk import Latencies, Load
from tests.servers import Process, plain_environment

_READERS: Final = 100
# Orders a second while the latency is measured, each with four events: what one process can send so many readers.
_STEADY: Final = 20.0
_CONNECTIONS: Final = 16
# Nobody gives anything back here, so that these readers wait.
_NOTHING: Final = "types=order.refunded"
_ALONE: Final = "place, without readers"
_READ: Final = "place, with readers who wait"
_FOLLOWED: Final = "events are followed"
_HOW: Final = (
    f"{_READERS} readers of one API process. p50 and p99: from an event's own time, before its commit, until a reader"
    f" has it, while {_STEADY:g} orders a second are placed and paid for. Completed are events that a reader got. Then"
    " place at full speed, by turns without readers and with readers whose filter takes nothing"
)


def stream(options: Options) -> Result:
    """Readers follow the feed as streams: how late events reach them, and what they cost the shop."""
    with (
        open_servers() as servers,
        open_shop(PROGRAMS, servers.settings("stream"), servers=servers, orders=0, say=options.say) as shop,
    ):
        customers = Customers(shop)
        gaps: list[str] = []
        works: dict[str, Work] = {
            _FOLLOWED: partial(_followed, customers, gaps),
            _ALONE: customers.order,
            _READ: partial(_read_beside, customers),
        }
        measured = interleaved(works, seconds=options.seconds, say=options.say)
        options.say("checking the data")
        findings = [*gaps, *customers.findings()]
        memory, versions = memory_by_process(shop.pids), shop.versions()
    followed = measured[_FOLLOWED]
    alone, beside = measured[_ALONE].completed_per_s, measured[_READ].completed_per_s
    p50, p99 = followed.latencies.percentile(50), followed.latencies.percentile(99)
    return Result(
        scenario="stream",
        about="",
        seconds=options.seconds,
        orders=0,
        accepted_per_s=None,
        completed_per_s=followed.completed_per_s,
        ceiling_per_s=None,
        ratio_to_ceiling=None,
        unbatched_per_s=None,
        ratio_to_unbatched=None,
        p50_ms=p50,
        p99_ms=p99,
        p999_ms=followed.latencies.percentile(99.9),
        refused_or_broken=sum(each.failed for each in measured.values()),
        cpu_ms_per_order=followed.cpu_ms_each,
        cores_busy=followed.cores_busy,
        memory_mb=memory,
        figures={"place_per_s": alone, "place_with_readers_per_s": beside, "readers": float(_READERS), "how": _HOW},
        invariants="; ".join(findings) or KEPT,
        reach=[
            at_most("p99 from an event to a reader", p99, 250, " ms"),
            at_least("of place without readers", ratio(beside, alone), 0.9),
        ],
        machine=machine(versions),
    )


def _followed(customers: Customers, gaps: list[str], seconds: float) -> Window:
    """Count what the readers got, and measure how late they got it."""
    shop = customers.shop
    seen = Seen(0, 0, 0, [])

    def work() -> Load:
        nonlocal seen
        with _readers(shop, "types=order.*") as process:
            answers = run(
                Asked(
                    port=shop.service.port,
                    rate=lambda _: _STEADY,
                    seconds=seconds,
                    request=_request,
                    connections=_CONNECTIONS,
                )
            )
            customers.wait_until_sent()
            # The relay gives positions ten times a second, and the API looks for them as often.
            process.wait_for(lambda: not shop.data.unfed(), seconds=30, what="every event has its position")
        seen = _seen(process)
        customers.others_ordered(answers.by_status()[201])
        return Load(requests=seen.events, seconds=seconds, latencies=Latencies.of_each(seen.milliseconds))

    window = watch(shop, work, lambda load: load.requests)
    if seen.gaps or seen.ended:
        gaps.append(f"{seen.gaps} events followed no other, and {seen.ended} streams ended")
    return window


def _read_beside(customers: Customers, seconds: float) -> Window:
    with _readers(customers.shop, _NOTHING):
        return customers.order(seconds)


@contextmanager
def _readers(shop: Shop, query: str) -> Iterator[Process]:
    """Let them follow, and end them; then their process has said what they saw."""
    log = shop.folder / "followers.log"
    log.unlink(missing_ok=True)
    process = Process(
        argv=[sys.executable, "-m", "bench.followers", str(shop.service.port), str(_READERS), query],
        env=plain_environment(),
        log=log,
        cwd=ROOT,
    ).start()
    try:
        process.wait_for(lambda: READY in process.output(), seconds=60, what="all readers follow")
        yield process
        process.send(signal.SIGTERM)
        process.wait()
    finally:
        process.kill()


def _seen(process: Process) -> Seen:
    return msgspec.json.decode(process.output().splitlines()[-1], type=Seen)


def _request(number: int) -> bytes:
    items = [{"product_id": 1 + number % PRODUCTS, "quantity": 1}]
    return post("/orders", json.dumps({"user_id": 1, "items": items, "pay": True}).encode())
