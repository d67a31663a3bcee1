"""Reading: one order, and pages of a list.

What it costs to show an order depends on how many lines it has: what is compared has as many of them.
"""

from collections.abc import Mapping
from contextlib import closing
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from bench.aims import MESSAGE_QUEUE_READS, VENDURE_READS, at_least, grown, memory_of_api, times_best_peer, within
from bench.loads import get
from bench.measure import Measured, Work, interleaved
from bench.options import Options
from bench.result import Result
from bench.shops import Shop
from bench.stage import CEILING, OURS, SMALL, UNBATCHED, open_stage
from tests.servers import ServerFailed

_READ: Final = 5_000
_PLACING_SECONDS: Final = 3.0
_PAGE: Final = 10
_PAGES: Final = 1_000
# Enough for all pages.
_LISTED: Final = _PAGE * _PAGES
_LINES: Final = 2
_DEEP: Final = "page 1,000"
_SMALL_DEEP: Final = f"{_DEEP}, {SMALL}"


def read(options: Options) -> Result:
    """GET /orders/{id}, of some thousands of orders in turn, each of which was read before."""
    with open_stage(options, ["api"]) as stage:
        options.say("placing orders to read")
        for each in stage.customers.values():
            each.order(_PLACING_SECONDS)
        paths = {name: _order_paths(each.shop) for name, each in stage.customers.items()}
        options.say("reading each once")
        for name, each in stage.customers.items():
            _read_all(each.shop, paths[name])
        works: dict[str, Work] = {CEILING: partial(get, stage.ceiling, paths[OURS])}
        works |= {name: partial(get, each.shop, paths[name]) for name, each in stage.customers.items()}
        measured = interleaved(works, seconds=options.seconds, say=options.say)
        result = stage.conclude("read", options, measured, [MESSAGE_QUEUE_READS, VENDURE_READS])
    return replace(
        result,
        invariants=_all_answered(result, measured),
        figures=result.figures | {"orders_read": len(paths[OURS])},
        reach=[
            at_least("of the ceiling", result.ratio_to_ceiling, 0.85),
            times_best_peer(result, 5),
            memory_of_api(result),
            *grown(result),
        ],
    )


def list_pages(options: Options) -> Result:
    """GET /orders with ten orders a page: the first page, and the 1,000th."""
    with open_stage(options, ["api"], least=_LISTED) as stage:
        options.say("filling the first page")
        for each in stage.customers.values():
            each.others_ordered(_fill_page(each.shop))
        options.say("turning the pages")
        first = f"/orders?limit={_PAGE}"
        deep = {name: _deep_page(each.shop) for name, each in stage.customers.items()}
        works: dict[str, Work] = {CEILING: partial(get, stage.ceiling, [first])}
        works |= {name: partial(get, each.shop, [first]) for name, each in stage.customers.items()}
        works[_DEEP] = partial(get, stage.ours, [deep[OURS]])
        if SMALL in deep:
            works[_SMALL_DEEP] = partial(get, stage.customers[SMALL].shop, [deep[SMALL]])
        measured = interleaved(works, seconds=options.seconds, say=options.say)
        result = stage.conclude("list", options, measured, [])
    deep_per_s = measured[_DEEP].completed_per_s
    reach = [within("the 1,000th page, of the first", deep_per_s / result.completed_per_s, 0.1)]
    if SMALL in deep:
        small_deep = measured[_SMALL_DEEP].completed_per_s
        reach += [
            within(f"{page}, with {result.orders:,} orders, of {_LISTED:,}", ratio, 0.1)
            for page, ratio in (
                ("the first page", result.completed_per_s / measured[SMALL].completed_per_s),
                ("the 1,000th", deep_per_s / small_deep),
            )
        ]
    return replace(
        result,
        orders=max(options.orders, _LISTED),
        invariants=_all_answered(result, measured),
        figures=result.figures | {"page_1000_per_s": deep_per_s, "page_1000_p99_ms": _p99(measured[_DEEP])},
        reach=reach,
    )


def _all_answered(result: Result, measured: dict[str, Measured]) -> str:
    """Every read of an existing order has to succeed."""
    failed = {name: each.failed for name, each in measured.items() if each.failed and name != UNBATCHED}
    if not failed:
        return result.invariants
    unanswered = ", ".join(f"{count} reads of {name}" for name, count in failed.items())
    return f"{unanswered} were not answered" if result.kept else f"{result.invariants}; {unanswered} were not answered"


def _p99(measured: Measured) -> float:
    return measured.latencies.percentile(99)


def _order_paths(shop: Shop) -> list[str]:
    """Of orders chosen by chance among all there are of so many lines."""
    rows = shop.data.rows(
        f"SELECT order_id FROM order_items GROUP BY order_id HAVING count(*) = {_LINES}"  # noqa: S608 - numbers of ours
        f" ORDER BY random() LIMIT {_READ}"
    )
    return [f"/orders/{row[0]}" for row in rows]


def _read_all(shop: Shop, paths: list[str]) -> None:
    """Put the orders into the recent ones, as if just placed: a filled shop has them only in the database."""
    with _asking(shop) as connection:
        for path in paths:
            _answer(connection, "GET", path)


def _fill_page(shop: Shop) -> int:
    """Place the orders of the first page, and return how many they are."""
    items = [{"product_id": number, "quantity": 1} for number in range(1, _LINES + 1)]
    with _asking(shop) as connection:
        for _ in range(_PAGE):
            _answer(connection, "POST", "/orders", {"user_id": 1, "items": items})
    return _PAGE


def _deep_page(shop: Shop) -> str:
    """The address of the 1,000th page, found as anybody finds it: by turning the pages.

    From there on it goes back, order by order, to a page with as many lines as the first one has.
    """
    with _asking(shop) as connection:

        def page(path: str) -> Any:
            return _answer(connection, "GET", path)

        cursor = ""
        for _ in range(_PAGES - 1):
            cursor = f"&cursor={page(f'/orders?limit={_PAGE}{cursor}')['next']}"
        while _lines(page(found := f"/orders?limit={_PAGE}{cursor}")) != _LINES * _PAGE:
            cursor = f"&cursor={page(f'/orders?limit=1{cursor}')['next']}"
    return found


def _lines(page: Any) -> int:
    return sum(len(order["items"]) for order in page["items"])


def _asking(shop: Shop) -> "closing[HTTPConnection]":
    return closing(HTTPConnection("127.0.0.1", shop.service.port, timeout=30))


def _answer(connection: HTTPConnection, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    """Raise `ServerFailed` for a refusal."""
    headers = {"Content-Type": "application/json"} if body else {}
    connection.request(method, path, msgspec.json.encode(body) if body else None, headers)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise ServerFailed(f"{method} {path} was answered {answer.status}: {said[:200]!r}")
    return msgspec.json.decode(said)
