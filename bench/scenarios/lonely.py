"""One order at a time, in a shop that has nothing else to do."""

import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPConnection
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from bench.aims import VENDURE, at_most
from bench.loads import Customers
from bench.measure import Window, Work, interleaved, watch
from bench.options import Options
from bench.result import Result
from bench.scenarios.living import PROGRAMS
from bench.shops import Shop
from bench.stage import CEILING, OURS, open_stage
from bench.wrk import Latencies, Load

_BODY: Final = b'{"user_id":1,"items":[{"product_id":1,"quantity":1}]}'
_JSON: Final = {"Content-Type": "application/json"}
# The interval between reads of the order: a hundredth of the allowed wait.
_LOOK_EVERY: Final = 0.001
# The pause between orders, so that the next one finds an idle service.
_PAUSE: Final = 0.02
_TIMEOUT: Final = 30.0
_HOW: Final = f"the client asks for the order every {_LOOK_EVERY * 1000:g} ms until it is PAID"


def lonely(options: Options) -> Result:
    """One order at a time, from the request to pay until it is PAID."""
    with open_stage(options, PROGRAMS) as stage:
        works: dict[str, Work] = {CEILING: partial(_one_by_one, stage.ceiling, _ask_only)}
        works |= {name: partial(_customers_one_by_one, each) for name, each in stage.customers.items()}
        measured = interleaved(works, seconds=options.seconds, say=options.say)
        result = stage.conclude("lonely", options, measured, [VENDURE])
    return replace(
        result,
        figures=result.figures | {"orders_measured": measured[OURS].completed, "how": _HOW},
        reach=[at_most("p50", result.p50_ms, 30, " ms"), at_most("p99", result.p99_ms, 150, " ms")],
    )


def _customers_one_by_one(customers: Customers, seconds: float) -> Window:
    window = _one_by_one(customers.shop, _until_paid, seconds)
    customers.others_ordered(window.completed)
    return window


def _one_by_one(shop: Shop, order: Callable[[HTTPConnection], float], seconds: float) -> Window:
    """The rate is that of a client who orders again at once: the pauses between orders don't count."""
    return watch(shop, lambda: _load(shop, order, seconds), lambda load: load.requests)


def _load(shop: Shop, order: Callable[[HTTPConnection], float], seconds: float) -> Load:
    connection = HTTPConnection("127.0.0.1", shop.service.port, timeout=_TIMEOUT)
    waits: list[float] = []
    busy, end = 0.0, time.monotonic() + seconds
    try:
        while not waits or time.monotonic() < end:
            began = time.perf_counter()
            waits.append(1000 * order(connection))
            busy += time.perf_counter() - began
            time.sleep(_PAUSE)
    finally:
        connection.close()
    return Load(requests=len(waits), seconds=busy, latencies=Latencies.of_each(waits))


def _until_paid(connection: HTTPConnection) -> float:
    """Seconds from the request to pay to the first look at which the order is PAID."""
    path = f"/orders/{_ask(connection, 'POST', '/orders', _BODY)['order_id']}"
    began = time.perf_counter()
    _ask(connection, "POST", f"{path}/pay")
    while _ask(connection, "GET", path)["status"] != "PAID":
        if time.perf_counter() - began > _TIMEOUT:
            raise TimeoutError(f"{path} was not paid within {_TIMEOUT:g} s")
        time.sleep(_LOOK_EVERY)
    return time.perf_counter() - began


def _ask_only(connection: HTTPConnection) -> float:
    began = time.perf_counter()
    _ask(connection, "POST", "/orders", _BODY)
    return time.perf_counter() - began


def _ask(connection: HTTPConnection, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
    connection.request(method, path, body, _JSON if body else {})
    answer: dict[str, Any] = msgspec.json.decode(connection.getresponse().read())
    return answer
