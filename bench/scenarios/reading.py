"""`read`: GET /orders/{id}, of some thousands of orders in turn."""

import random
from functools import partial
from typing import Final

from msgspec.structs import replace

from bench.aims import MESSAGE_QUEUE_READS, VENDURE_READS, at_least, at_most
from bench.loads import Customers, get
from bench.measure import interleaved
from bench.options import Options, machine
from bench.result import Result, make_result
from bench.shops import Shop
from bench.stage import CEILING, OURS, UNBATCHED, open_stage
from bench.usage import memory_by_process

_READ: Final = 5_000
_FILLING_SECONDS: Final = 3.0


def read(options: Options) -> Result:
    with open_stage(options, ["api"]) as stage:
        options.say("placing orders to read")
        customers = {name: Customers(shop) for name, shop in stage.shops.items()}
        for each in customers.values():
            each.order(_FILLING_SECONDS)
        paths = {name: order_paths(shop) for name, shop in stage.shops.items()}
        measured = interleaved(
            {CEILING: partial(get, stage.ceiling, paths[OURS])}
            | {name: partial(get, shop, paths[name]) for name, shop in stage.shops.items()},
            seconds=options.seconds,
            say=options.say,
        )
        options.say("checking the books")
        result = make_result(
            "read",
            measured[OURS],
            ceiling=measured[CEILING],
            unbatched=measured[UNBATCHED],
            findings=[finding for each in customers.values() for finding in each.findings()],
            memory=memory_by_process(stage.ours.pids),
            seconds=options.seconds,
            orders=options.orders,
            peers=[MESSAGE_QUEUE_READS, VENDURE_READS],
            machine=machine(stage.ours.ready()),
            figures={"orders_read": len(paths[OURS])},
        )
    return replace(
        result,
        reach=[
            at_least("of the ceiling", result.ratio_to_ceiling, 0.85),
            at_least("of the best peer", result.completed_per_s / MESSAGE_QUEUE_READS.per_s, 5, " x"),
            at_most("memory of the API process", result.memory_mb["api"], 120, " MB"),
        ],
    )


def order_paths(shop: Shop) -> list[str]:
    """Of orders chosen by chance among all there are."""
    ids = [str(row[0]) for row in shop.books.rows("SELECT id FROM orders")]
    chosen = random.Random(7).sample(ids, min(_READ, len(ids)))  # noqa: S311 - nothing secret
    return [f"/orders/{order_id}" for order_id in chosen]
