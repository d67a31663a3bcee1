"""The tables get what the next release needs, while customers place orders."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from bench.aims import at_most
from bench.loads import Customers
from bench.open_loop import Load, post, run
from bench.open_loop import Result as Answers
from bench.options import Options, machine
from bench.overload import PLACED
from bench.result import KEPT, Result
from bench.shops import GROWN, PRODUCTS, Shop, open_servers, open_shop
from tests.releases import EXPANSION, make_next_release
from tests.servers import Process
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
_EXPAND: Final = "expand"
_CONTRACT: Final = "contract"
_HOW: Final = (
    f"{_STEADY:g} orders a second, one transaction each or few of them, from clients that don't wait for each other."
    " Meanwhile `migrate --expand` adds a table and a column with a default, fills the column of every order, builds an"
    " index of all orders, and adds a check. Then the next release's API takes the place of the first, and"
    " `migrate --contract` validates the check and makes the column NOT NULL"
)


def rollout(options: Options) -> Result:
    """The next release's migration changes the table of all orders: how long customers wait meanwhile."""
    with ExitStack() as stack:
        servers = stack.enter_context(open_servers(options.grown))
        settings = servers.settings_of_made(GROWN) if options.grown else servers.settings("rollout")
        shop = stack.enter_context(
            open_shop(["api"], settings, servers=servers, orders=options.grown or 0, say=options.say)
        )
        following = stack.enter_context(_following(shop))
        customers = Customers(shop)
        options.say("before")
        before = _ask(shop, options.seconds)
        took, during = _beside(shop, following, _EXPAND, options)
        options.say("replacing the API")
        shop.service.stop()
        shop.service.processes["api"] = following.start("api")
        following.wait_until_ready()
        # This process is of the release before as well.
        shop.data.disconnect()
        finished, later = _beside(shop, following, _CONTRACT, options)
        customers.others_ordered(sum(_placed(each) for each in (before, *during, *later)))
        options.say("checking the data")
        findings, versions = customers.findings(), shop.versions()
    answers = [*during, *later]
    slowest = max(max(each.latency) for each in answers)
    refused = sum(len(each.status) - _placed(each) for each in answers)
    milliseconds = sorted(1000 * latency for each in answers for latency in each.latency)
    return Result(
        scenario="rollout",
        about="",
        seconds=options.seconds,
        orders=options.orders,
        accepted_per_s=None,
        completed_per_s=_STEADY,
        ceiling_per_s=None,
        ratio_to_ceiling=None,
        unbatched_per_s=None,
        ratio_to_unbatched=None,
        p50_ms=milliseconds[len(milliseconds) // 2],
        p99_ms=milliseconds[int(0.99 * len(milliseconds))],
        p999_ms=milliseconds[int(0.999 * len(milliseconds))],
        refused_or_broken=refused,
        cpu_ms_per_order={},
        cores_busy={},
        memory_mb={},
        figures={
            "expand_s": took,
            "contract_s": finished,
            "placed_meanwhile": float(len(milliseconds)),
            "slowest_before_ms": 1000 * max(before.latency),
            "p99_before_ms": 1000 * before.percentile(0.99),
            "slowest_expand_ms": 1000 * max(max(each.latency) for each in during),
            "slowest_contract_ms": 1000 * max(max(each.latency) for each in later),
            "how": _HOW,
        },
        invariants="; ".join(findings) or KEPT,
        reach=[at_most("the slowest order", slowest, 1, " s"), at_most("refused", refused, 0)],
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
        yield service
    finally:
        service.kill()
        remove_folder(code)


def _beside(shop: Shop, following: Service, half: str, options: Options) -> tuple[float, list[Answers]]:
    """Place orders until this half of the migration is done. Return how long it took, and how they were answered."""
    options.say(f"migrate --{half}")
    process, began = _begin(following, half), time.monotonic()
    answers: list[Answers] = []
    while not answers or process.running:
        answers.append(_ask(shop, _PORTION))
    status = process.wait(seconds=60)
    took = time.monotonic() - began
    if status:
        raise AssertionError(f"migrate --{half} ended with {status}: {process.output()[-2000:]}")
    return took, answers


def _begin(following: Service, half: str) -> Process:
    name = f"migrate-{half}"
    process = following.processes[name] = following.kind(
        argv=["holdfast", "migrate", f"--{half}"],
        env=following.environment(),
        log=Path(following.folder) / f"{name}.log",
        cwd=following.folder,
    )
    return process.start()


def _ask(shop: Shop, seconds: float) -> Answers:
    return run(
        Load(
            port=shop.service.port,
            rate=lambda _: _STEADY,
            seconds=seconds,
            request=_request,
            connections=_CONNECTIONS,
            timeout=_TIMEOUT,
        )
    )


def _placed(answers: Answers) -> int:
    return sum(status in PLACED for status in answers.status)


def _request(number: int) -> bytes:
    items = [{"product_id": 1 + number % PRODUCTS, "quantity": 1}]
    return post("/orders", json.dumps({"user_id": 1, "items": items}).encode())
