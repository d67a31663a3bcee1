"""Reading: one order, and pages of a list."""

from functools import partial
from http.client import HTTPConnection
from typing import Final

import msgspec
from msgspec.structs import replace

from bench.aims import MESSAGE_QUEUE_READS, VENDURE_READS, at_least, grown, memory_of_api, times_best_peer, within
from bench.loads import get
from bench.measure import Measured, Work, interleaved
from bench.options import Options
from bench.result import Result
from bench.shops import Shop
from bench.stage import CEILING, OURS, SMALL, UNBATCHED, open_stage

_READ: Final = 5_000
_PLACING_SECONDS: Final = 3.0
_PAGE: Final = 10
_PAGES: Final = 1_000
# Enough for all pages.
_LISTED: Final = _PAGE * _PAGES
_DEEP: Final = "page 1,000"
_SMALL_DEEP: Final = f"{_DEEP}, {SMALL}"


def read(options: Options) -> Result:
    """GET /orders/{id}, of some thousands of orders in turn."""
    with open_stage(options, ["api"]) as stage:
        options.say("placing orders to read")
        for each in stage.customers.values():
            each.order(_PLACING_SECONDS)
        paths = {name: _order_paths(each.shop) for name, each in stage.customers.items()}
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
        options.say("turning the pages")
        first = f"/orders?limit={_PAGE}"
        deep = {name: _deep_page(each.shop, first) for name, each in stage.customers.items()}
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
            within(f"with {result.orders:,} orders, of {_LISTED:,}", ratio, 0.1)
            for ratio in (result.completed_per_s / measured[SMALL].completed_per_s, deep_per_s / small_deep)
        ]
    return replace(
        result,
        orders=max(options.orders, _LISTED),
        invariants=_all_answered(result, measured),
        figures=result.figures | {"page_1000_per_s": deep_per_s, "page_1000_p99_ms": _p99(measured[_DEEP])},
        reach=reach,
    )


def _all_answered(result: Result, measured: dict[str, Measured]) -> str:
    """Whoever asks for an order that is there has to get it."""
    failed = {name: each.failed for name, each in measured.items() if each.failed and name != UNBATCHED}
    if not failed:
        return result.invariants
    unanswered = ", ".join(f"{count} reads of {name}" for name, count in failed.items())
    return f"{unanswered} were not answered" if result.kept else f"{result.invariants}; {unanswered} were not answered"


def _p99(measured: Measured) -> float:
    return measured.latencies.percentile(99)


def _order_paths(shop: Shop) -> list[str]:
    """Of orders chosen by chance among all there are."""
    rows = shop.books.rows(f"SELECT id FROM orders ORDER BY random() LIMIT {_READ}")  # noqa: S608 - a number of ours
    return [f"/orders/{row[0]}" for row in rows]


def _deep_page(shop: Shop, page: str) -> str:
    """The address of the 1,000th page, found as anybody finds it: by turning the pages."""
    connection = HTTPConnection("127.0.0.1", shop.service.port, timeout=30)
    try:
        following = page
        for _ in range(_PAGES - 1):
            connection.request("GET", following)
            cursor = msgspec.json.decode(connection.getresponse().read())["next"]
            following = f"{page}&cursor={cursor}"
    finally:
        connection.close()
    return following
