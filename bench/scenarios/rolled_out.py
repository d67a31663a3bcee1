"""The tables get what the next release needs, while customers place orders."""

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final

from attrs import frozen

from bench.aims import at_most
from bench.loads import Customers
from bench.measure import Measured, watch
from bench.open_loop import Load as Asked
from bench.open_loop import Result as Answers
from bench.open_loop import post, run
from bench.options import Options, machine
from bench.overload import PLACED
from bench.result import KEPT, Result
from bench.shops import GROWN, PRODUCTS, Shop, open_servers, open_shop
from bench.usage import memory_by_process
from bench.wrk import Latencies, Load
from tests.releases import EXPANSION, make_next_release
from tests.servers.forked import ForkedHoldfast
from tests.servers.process import make_folder, remove_folder
from tests.service import Service

# Orders a second: a part of what the service can do, so that what is slow is slow because of the migration.
_STEADY: Final = 100.0
_CONNECTIONS: Final = 64
# Longer than any answer may take: a client that gives up would hide it.
_TIMEOUT: Final = 60.0
# The load is made in portions of so many seconds, until the migration is done.
_PORTION: Final = 5.0
_MIGRATION_SECONDS: Final = 3600.0
_EXPAND: Final = "expand"
_CONTRACT: Final = "contract"
_HOW: Final = (
    f"{_STEADY:g} orders a second, one transaction each or few of them, from clients that don't wait for each other."
    " Meanwhile `migrate --expand` adds a table and a column with a default, fills the column of every order, builds an"
    " index of all orders, and adds a check. Then the next release's API takes the place of the first, and"
    " `migrate --contract` validates the check and makes the column NOT NULL"
)


@frozen
class _Half:
    """How long one half of the migration took, and what the clients heard meanwhile."""

    seconds: float
    answers: Sequence[Answers]

    @property
    def slowest(self) -> float:
        return max(max(each.latency) for each in self.answers)

    @property
    def placed(self) -> int:
        return sum(status in PLACED for each in self.answers for status in each.status)

    def load(self) -> Load:
        asked = sum(len(each.status) for each in self.answers)
        latencies = [1000 * latency for each in self.answers for latency in each.latency]
        seconds = _PORTION * len(self.answers)
        return Load(
            requests=asked, seconds=seconds, refused=asked - self.placed, latencies=Latencies.of_each(latencies)
        )


def rollout(options: Options) -> Result:
    """The next release's migration changes the table of all orders: how long customers wait meanwhile."""
    with ExitStack() as stack:
        servers = stack.enter_context(open_servers(options.grown))
        settings = servers.settings_of_made(GROWN) if options.grown else servers.settings("rollout")
        # No order goes to the queue, where it would not wait for the tables, and where no worker would take it.
        settings["HOLDFAST_INTAKE"] = "direct"
        shop = stack.enter_context(
            open_shop(["api"], settings, servers=servers, orders=options.grown or 0, say=options.say)
        )
        following = stack.enter_context(_following(shop))
        customers = Customers(shop)
        options.say("before")
        before = _Half(options.seconds, [_ask(shop, options.seconds)])
        halves: dict[str, _Half] = {}

        def migrate(half: str) -> Load:
            options.say(f"migrate --{half}")
            halves[half] = _beside(shop, following, half)
            return halves[half].load()

        windows = [watch(shop, partial(migrate, _EXPAND), lambda load: load.answered)]
        options.say("replacing the API")
        shop.service.stop()
        shop.service.processes["api"] = following.start("api")
        following.wait_until_ready()
        # This process is of the release before as well.
        shop.data.disconnect()
        windows.append(watch(shop, partial(migrate, _CONTRACT), lambda load: load.answered))
        customers.others_ordered(sum(each.placed for each in (before, *halves.values())))
        options.say("checking the data")
        findings, versions, memory = customers.findings(), shop.versions(), memory_by_process(shop.pids)
    measured = Measured(windows)
    return Result(
        scenario="rollout",
        about="",
        seconds=options.seconds,
        orders=options.orders,
        accepted_per_s=measured.accepted_per_s,
        completed_per_s=measured.completed_per_s,
        ceiling_per_s=None,
        ratio_to_ceiling=None,
        unbatched_per_s=None,
        ratio_to_unbatched=None,
        p50_ms=measured.latencies.percentile(50),
        p99_ms=measured.latencies.percentile(99),
        p999_ms=measured.latencies.percentile(99.9),
        refused_or_broken=measured.failed,
        cpu_ms_per_order=measured.cpu_ms_each,
        cores_busy=measured.cores_busy,
        memory_mb=memory,
        figures={
            "orders_before": float(options.orders),
            "expand_s": halves[_EXPAND].seconds,
            "contract_s": halves[_CONTRACT].seconds,
            "p99_before_ms": before.load().latencies.percentile(99),
            "slowest_before_ms": 1000 * before.slowest,
            "slowest_while_expanding_ms": 1000 * halves[_EXPAND].slowest,
            "slowest_while_contracting_ms": 1000 * halves[_CONTRACT].slowest,
            "how": _HOW,
        },
        invariants="; ".join(findings) or KEPT,
        reach=[
            at_most("the slowest order", max(each.slowest for each in halves.values()), 1, " s"),
            at_most("orders refused", measured.failed, 0),
        ],
        machine=machine(versions),
    )


@contextmanager
def _following(shop: Shop) -> Iterator[Service]:
    """The next release, on the same data and port."""
    code = make_folder("bench-next")
    service = Service(
        folder=shop.folder,
        settings=dict(shop.service.settings),
        port=shop.service.port,
        kind=partial(ForkedHoldfast, code=code),
    )
    try:
        make_next_release(code, *EXPANSION)
        # What is imported now takes no time from the customers later.
        service.run("--version", seconds=60)
        yield service
    finally:
        service.kill()
        remove_folder(code)


def _beside(shop: Shop, following: Service, half: str) -> _Half:
    """Place orders until this half of the migration is done."""
    process, began = following.start("migrate", f"--{half}", name=half), time.monotonic()

    def ended() -> float:
        status = process.wait(seconds=_MIGRATION_SECONDS)
        if status:
            raise AssertionError(f"migrate --{half} ended with {status}: {process.output()[-2000:]}")
        return time.monotonic() - began

    answers: list[Answers] = []
    with ThreadPoolExecutor(1) as thread:
        taking = thread.submit(ended)
        while not answers or not taking.done():
            answers.append(_ask(shop, _PORTION))
        return _Half(taking.result(), answers)


def _ask(shop: Shop, seconds: float) -> Answers:
    return run(
        Asked(
            port=shop.service.port,
            rate=lambda _: _STEADY,
            seconds=seconds,
            request=_request,
            connections=_CONNECTIONS,
            timeout=_TIMEOUT,
        )
    )


def _request(number: int) -> bytes:
    items = [{"product_id": 1 + number % PRODUCTS, "quantity": 1}]
    return post("/orders", json.dumps({"user_id": 1, "items": items}).encode())
