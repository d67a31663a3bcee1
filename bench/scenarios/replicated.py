"""Three replicas behind nginx, on PostgreSQL and RabbitMQ without Redis."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

from bench.aims import at_least, at_most
from bench.invariants import ShopData
from bench.measure import Measured, Usage, Window
from bench.open_loop import GIVEN_UP, RESET, post, run
from bench.open_loop import Load as Asked
from bench.open_loop import Result as Answers
from bench.options import Options, machine
from bench.result import KEPT, Result
from bench.shops import PRODUCTS, Servers, Shop, furnish, ledger_of, open_servers
from bench.usage import memory_by_process
from bench.wrk import Latencies, Load
from tests.servers import Process, free_port, plain_environment, wait_until
from tests.servers.compose import nginx_config
from tests.servers.packages import find_nginx
from tests.servers.process import make_folder, remove_folder
from tests.service import HOLDFAST, Service

_REPLICAS: Final = 3
_CONNECTIONS: Final = 64
# Requests a second: those that three replicas and one consumer were once measured with, and more than they are to take.
_STEADY: Final = 1_600.0
_FULL: Final = 2_200.0
# Recorded, or in the queue while the database is slow.
_ACCEPTED: Final = (201, 202)
_WARM_UP_SECONDS: Final = 2.0
_DRAIN_SECONDS: Final = 180.0
_HOW: Final = (
    f"{_CONNECTIONS} connections to nginx; p50 and p99 with {_STEADY:,.0f} requests a second, the rates with"
    f" {_FULL:,.0f}; completed is what became PAID while the load lasted"
)


def replicas(options: Options) -> Result:
    """Orders are placed and paid for in one request to nginx, before three API processes without Redis."""
    with open_servers() as servers, _open(servers, options) as shop:
        options.say("warming up")
        _ask(shop, _STEADY, min(_WARM_UP_SECONDS, options.seconds))
        _all_paid(shop)
        options.say(f"{_STEADY:,.0f} requests a second")
        steady = _ask(shop, _STEADY, options.seconds / 2)
        _all_paid(shop)
        options.say(f"{_FULL:,.0f} requests a second")
        before, began = Usage.of(shop), datetime.now(UTC)
        full = _ask(shop, _FULL, options.seconds / 2)
        after = Usage.of(shop)
        _all_paid(shop)
        options.say("checking the data")
        beside = shop.data.paid_between(began, began + timedelta(seconds=options.seconds / 2))
        findings, memory, versions = shop.data.findings(), memory_by_process(shop.pids), shop.versions()
    seconds = options.seconds / 2
    taken = _accepted(full.answered_between(0, seconds))
    load = Load(requests=taken, seconds=seconds, latencies=Latencies())
    measured = Measured([Window.between(before, after, load=load, completed=beside, seconds=seconds)])
    p50, p99 = 1000 * steady.percentile(0.5), 1000 * steady.percentile(0.99)
    return Result(
        scenario="replicas",
        about="",
        seconds=options.seconds,
        orders=0,
        accepted_per_s=taken / seconds,
        completed_per_s=beside / seconds,
        ceiling_per_s=None,
        ratio_to_ceiling=None,
        unbatched_per_s=None,
        ratio_to_unbatched=None,
        p50_ms=p50,
        p99_ms=p99,
        p999_ms=1000 * steady.percentile(0.999),
        refused_or_broken=_lost(steady) + _lost(full),
        cpu_ms_per_order=_together(measured.cpu_ms_each),
        cores_busy=_together(measured.cores_busy),
        memory_mb=_together(memory),
        figures={"steady_accepted_per_s": _accepted(steady) / seconds, "how": _HOW},
        invariants="; ".join(findings) or KEPT,
        reach=[
            at_least("accepted", taken / seconds, 2_000, "/s"),
            at_least("completed beside it", beside / seconds, 700, "/s"),
            at_least(f"accepted of {_STEADY:,.0f}/s", _accepted(steady) / seconds / _STEADY, 0.999, " x"),
            at_most(f"p50 at {_STEADY:,.0f}/s", p50, 100, " ms"),
            at_most(f"p99 at {_STEADY:,.0f}/s", p99, 1000, " ms"),
        ],
        machine=machine(versions),
    )


@contextmanager
def _open(servers: Servers, options: Options) -> Iterator[Shop]:
    """The port of the service is that of nginx."""
    settings = servers.settings("replicas")
    del settings["REDIS_URL"]
    # nginx's workers are not root, and may pass through this folder.
    folder = make_folder("bench-replicas")
    service = Service(folder=folder, settings=settings, kind=Process)
    with ExitStack() as stack:
        stack.callback(remove_folder, folder)
        furnish(service, 0, options.say)
        stack.callback(service.kill)
        ports = [free_port() for _ in range(_REPLICAS)]
        for number, port in enumerate(ports, 1):
            name = "api" if number == 1 else f"api-{number}"
            service.processes[name] = Process(
                argv=[str(HOLDFAST), "api"],
                env={**service.environment(), "HOLDFAST_PORT": str(port)},
                log=folder / f"{name}.log",
                cwd=folder,
            ).start()
        service.start("worker")
        service.start("relay")
        config = folder / "nginx.conf"
        config.write_text(nginx_config(port=service.port, replicas=ports, folder=folder))
        service.processes["nginx"] = Process(
            argv=[str(find_nginx()), "-c", str(config), "-g", "daemon off;"],
            env=plain_environment(),
            log=folder / "nginx.log",
            cwd=folder,
        ).start()
        service.wait_until_ready()
        data = stack.enter_context(ShopData(service.database, ledger_of(service)))
        pids = {name: pid for name, pid in servers.pids.items() if name != "redis"}
        yield Shop(service, data, pids)
        service.stop()


def _ask(shop: Shop, rate: float, seconds: float) -> Answers:
    def request(number: int) -> bytes:
        items = [{"product_id": 1 + number % PRODUCTS, "quantity": 1}]
        return post("/orders", json.dumps({"user_id": 1, "items": items, "pay": True}).encode())

    return run(
        Asked(
            port=shop.service.port,
            rate=lambda _: rate,
            seconds=seconds,
            request=request,
            connections=_CONNECTIONS,
        )
    )


def _together(figures: Mapping[str, float]) -> dict[str, float]:
    """The replicas of the API as one."""
    replicas = {name for name in figures if name.startswith("api-")}
    api = sum(figures[name] for name in {"api", *replicas})
    return {name: api if name == "api" else figure for name, figure in figures.items() if name not in replicas}


def _accepted(answers: Answers) -> int:
    statuses = answers.by_status()
    return sum(statuses[status] for status in _ACCEPTED)


def _lost(answers: Answers) -> int:
    """Refused, or without an answer."""
    statuses = answers.by_status()
    return statuses[RESET] + statuses[GIVEN_UP] + sum(count for status, count in statuses.items() if status >= 400)  # noqa: PLR2004 - HTTP's errors


def _all_paid(shop: Shop) -> None:
    wait_until(lambda: not shop.data.unsent(), seconds=_DRAIN_SECONDS, what="every event was sent")
    wait_until(lambda: not shop.data.processing(), seconds=_DRAIN_SECONDS, what="every order is paid for")
    wait_until(lambda: not shop.data.unsent(), seconds=_DRAIN_SECONDS, what="every event was sent")
