"""`place`: POST /orders, durable in PostgreSQL. Complete is an order that is in the database and was answered."""

from functools import partial

from msgspec.structs import replace

from bench.aims import MESSAGE_QUEUE, at_least, at_most, cpu_of_api
from bench.loads import Customers, post_empty
from bench.measure import interleaved
from bench.options import Options, machine
from bench.result import Result, make_result
from bench.stage import CEILING, OURS, UNBATCHED, open_stage
from bench.usage import memory_by_process


def place(options: Options) -> Result:
    with open_stage(options, ["api"]) as stage:
        customers = {name: Customers(shop) for name, shop in stage.shops.items()}
        measured = interleaved(
            {CEILING: partial(post_empty, stage.ceiling)} | {name: each.order for name, each in customers.items()},
            seconds=options.seconds,
            say=options.say,
        )
        options.say("checking the books")
        ours, ceiling = measured[OURS], measured[CEILING]
        result = make_result(
            "place",
            ours,
            ceiling=ceiling,
            unbatched=measured[UNBATCHED],
            findings=[finding for each in customers.values() for finding in each.findings()],
            memory=memory_by_process(stage.ours.pids),
            seconds=options.seconds,
            orders=options.orders,
            peers=[MESSAGE_QUEUE],
            machine=machine(stage.ours.ready()),
            figures={"empty_handler_cpu_ms": ceiling.cpu_ms_each["api"]},
        )
    return replace(
        result,
        reach=[
            at_least("of the ceiling", result.ratio_to_ceiling, 0.65),
            at_least("of one at a time", result.ratio_to_unbatched, 2, " x"),
            at_least("of the best peer", result.completed_per_s / MESSAGE_QUEUE.per_s, 10, " x"),
            at_most("p99", result.p99_ms, 50, " ms"),
            cpu_of_api(ours, ceiling),
            at_most("CPU an order", result.cpu_ms_per_order["total"], 0.6, " ms"),
            at_most("memory of the API process", result.memory_mb["api"], 120, " MB"),
        ],
    )
