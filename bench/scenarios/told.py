"""Webhooks to a thousand endpoints, some of which fail."""

import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import msgspec
from attrs import define, field

from bench.aims import at_most
from bench.loads import Customers
from bench.measure import Window, Work, interleaved, watch
from bench.open_loop import Load as Asked
from bench.open_loop import post, run
from bench.options import Options, machine
from bench.receivers import READY, Received
from bench.result import KEPT, Result
from bench.scenarios.living import PROGRAMS
from bench.shops import PRODUCTS, ROOT, Shop, open_servers, open_shop
from bench.usage import memory_by_process
from bench.wrk import Latencies, Load
from tests.servers import Process, free_port, plain_environment

_ENDPOINTS: Final = 1_000
_HANGING: Final = 1
_BROKEN: Final = 50
_COUNTED: Final = _ENDPOINTS - _HANGING - _BROKEN
# Orders a second. Each is one event and a thousand requests: few enough that one relay is done with it before the next.
_STEADY: Final = 0.2
_ROUNDS: Final = 4
_CONNECTIONS: Final = 4
_DELIVER_SECONDS: Final = 120.0
_WELL: Final = "all answer"
_ILL: Final = f"{_HANGING} hangs and {_BROKEN} answer 500"
_BEHIND: Final = "SELECT count(*) FROM webhook_progress WHERE position < (SELECT max(position) FROM feed)"
_DELIVERED: Final = "SELECT count(*) FROM webhook_deliveries WHERE status = 'DELIVERED'"
_HOW: Final = (
    f"two shops, each with {_ENDPOINTS:,} endpoints that want order.placed, and {_STEADY:g} orders a second, in turns."
    f" In one all endpoints answer; in the other {_ILL}, and each round begins as if they had never failed. p50 and"
    f" p99: from an event's own time, before its commit, until one of the same {_COUNTED} healthy endpoints has it."
    " Completed are deliveries to these"
)


def webhooks(options: Options) -> Result:
    """An endpoint hangs and 50 fail: how late the webhooks of the 949 others are, beside a shop where all answer."""
    port = free_port()
    with ExitStack() as stack:
        servers = stack.enter_context(open_servers())
        sides: dict[str, _Side] = {}
        for number, name in enumerate((_WELL, _ILL)):
            options.say(f"starting {name}")
            its = {**servers.settings(f"webhooks_{number}"), "HOLDFAST_WEBHOOK_ALLOW": f"127.0.0.1:{port}"}
            shop = stack.enter_context(open_shop(PROGRAMS, its, servers=servers, orders=0, say=options.say))
            sides[name] = _Side(shop, port)
            options.say(f"{name}: adding {_ENDPOINTS:,} endpoints")
            sides[name].add_endpoints(ill=name == _ILL)
        works: dict[str, Work] = {name: side.tell for name, side in sides.items()}
        measured = interleaved(works, seconds=options.seconds, say=options.say, rounds=_ROUNDS)
        options.say("checking the data")
        findings = [finding for side in sides.values() for finding in side.conclude()]
        ours = sides[_ILL].shop
        memory, versions = memory_by_process(ours.pids), ours.versions()
    well, ill = measured[_WELL], measured[_ILL]
    p99 = {name: each.latencies.percentile(99) for name, each in measured.items()}
    return Result(
        scenario="webhooks",
        about="",
        seconds=options.seconds,
        orders=0,
        accepted_per_s=None,
        completed_per_s=ill.completed_per_s,
        ceiling_per_s=None,
        ratio_to_ceiling=None,
        unbatched_per_s=None,
        ratio_to_unbatched=None,
        p50_ms=ill.latencies.percentile(50),
        p99_ms=p99[_ILL],
        p999_ms=ill.latencies.percentile(99.9),
        refused_or_broken=0,
        cpu_ms_per_order=ill.cpu_ms_each,
        cores_busy=ill.cores_busy,
        memory_mb=memory,
        figures={
            "deliveries": ill.completed,
            "all answer: deliveries": well.completed,
            "all answer: p50 ms": well.latencies.percentile(50),
            "all answer: p99 ms": p99[_WELL],
            "all answer: CPU ms of the relay": well.cpu_ms_each["relay"],
            "how": _HOW,
        },
        invariants="; ".join(findings) or KEPT,
        reach=[at_most("p99, of that where all answer", p99[_ILL] / p99[_WELL], 1.1, " x")],
        machine=machine(versions),
    )


@define(eq=False)
class _Side:
    """A shop, and those who receive what happens in it."""

    shop: Shop
    _port: int
    _customers: Customers = field(init=False)
    # Those of the endpoints that fail in the other shop, in both.
    _others: list[str] = field(factory=list, init=False)
    _events: int = field(default=0, init=False)
    _again: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._customers = Customers(self.shop)

    def add_endpoints(self, *, ill: bool) -> None:
        """Those that fail come first, as they were added first."""
        for number in range(_ENDPOINTS):
            kind = "counted"
            if number < _HANGING + _BROKEN:
                kind = "other" if not ill else "hangs" if number < _HANGING else "broken"
            body = {"url": f"http://127.0.0.1:{self._port}/{kind}/{number}", "events": ["order.placed"]}
            made = self._ask("POST", "/webhook-endpoints", body)
            if kind != "counted":
                self._others.append(made["endpoint"]["endpoint_id"])
        self._switch_others(on=False)

    def tell(self, seconds: float) -> Window:
        """Place orders, and measure how late the counted receivers get them."""
        received = Received(0, 0, [])

        def work() -> Load:
            nonlocal received
            with _receiving(self.shop.folder, self._port) as process:
                self._switch_others(on=True)
                asked = Asked(
                    port=self.shop.service.port,
                    rate=lambda _: _STEADY,
                    seconds=seconds,
                    request=_request,
                    connections=_CONNECTIONS,
                )
                placed = run(asked).by_status()[201]
                self._customers.others_ordered(placed)
                self._events += placed
                process.wait_for(self._is_delivered, seconds=_DELIVER_SECONDS, what="every event is delivered")
                # Until the next round begins, nothing is sent to them, and nothing is tried again.
                self._switch_others(on=False)
            received = msgspec.json.decode(process.output().splitlines()[-1], type=Received)
            self._again += received.again
            return Load(requests=received.events, seconds=seconds, latencies=Latencies.of_each(received.milliseconds))

        return watch(self.shop, work, lambda load: load.requests)

    def conclude(self) -> Sequence[str]:
        found = list(self._customers.findings())
        if self._again:
            found.append(f"{self._again} deliveries came again, though no sender was stopped")
        delivered = self.shop.data.number(f"{_DELIVERED} AND {self._is_counted()}")
        if delivered != self._events * _COUNTED:
            found.append(f"{self._events} orders for {_COUNTED} endpoints are {delivered} deliveries")
        status, told = self.shop.service.try_to_run("reconcile", seconds=_DELIVER_SECONDS)
        return found if status == 0 else [*found, f"reconcile: {told}"]

    def _is_delivered(self) -> bool:
        """Whether the sender has recorded that every counted receiver has everything."""
        data = self.shop.data
        return not data.unfed() and not data.number(f"{_BEHIND} AND {self._is_counted()}")

    def _is_counted(self) -> str:
        others = ", ".join(f"'{id_}'" for id_ in self._others)
        return f"CAST(endpoint_id AS text) NOT IN ({others})"

    def _switch_others(self, *, on: bool) -> None:
        for id_ in self._others:
            path = f"/webhook-endpoints/{id_}"
            if on:
                self._ask("POST", f"{path}/enable", {"resume_from": "now"})
            else:
                self._ask("PATCH", path, {"enabled": False})

    def _ask(self, method: str, path: str, body: object) -> Any:
        connection = HTTPConnection("127.0.0.1", self.shop.service.port, timeout=30)
        try:
            connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            told = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:  # noqa: PLR2004 - the classes of HTTP
            raise AssertionError(f"{method} {path} was answered with {answer.status}: {told!r}")
        return json.loads(told)


@contextmanager
def _receiving(folder: Path, port: int) -> Iterator[Process]:
    """Let them receive, and end them; then their process has said what they saw."""
    log = folder / "receivers.log"
    log.unlink(missing_ok=True)
    process = Process(
        argv=[sys.executable, "-m", "bench.receivers", str(port)], env=plain_environment(), log=log, cwd=ROOT
    ).start()
    try:
        process.wait_for(lambda: READY in process.output(), seconds=60, what="the receivers are there")
        yield process
        process.send(signal.SIGTERM)
        process.wait()
    finally:
        process.kill()


def _request(number: int) -> bytes:
    items = [{"product_id": 1 + number % PRODUCTS, "quantity": 1}]
    return post("/orders", json.dumps({"user_id": 1, "items": items}).encode())
