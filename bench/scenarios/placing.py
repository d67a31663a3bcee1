"""Placing: POST /orders. Complete is an order that is in the database and was answered."""

from functools import partial

from msgspec.structs import replace

from bench.aims import MESSAGE_QUEUE, at_least, at_most, cpu_of_api, grown, memory_of_api, times_best_peer
from bench.loads import post_empty
from bench.measure import Measured, Work, interleaved
from bench.options import Options
from bench.result import Result
from bench.stage import CEILING, OURS, Stage, open_stage


def place(options: Options) -> Result:
    """POST /orders, durable in PostgreSQL; the API process alone."""
    # On a machine that is slow, the API would queue orders for the worker, and there is none.
    with open_stage(options, ["api"], settings={"HOLDFAST_INTAKE": "direct"}) as stage:
        measured = _order(stage, options)
        result = stage.conclude("place", options, measured, [MESSAGE_QUEUE])
    empty_ms = measured[CEILING].cpu_ms_each["api"]
    return replace(
        result,
        figures=result.figures | {"empty_handler_cpu_ms": empty_ms},
        reach=[
            at_least("of the ceiling", result.ratio_to_ceiling, 0.65),
            at_least("of one at a time", result.ratio_to_unbatched, 2, " x"),
            times_best_peer(result, 10),
            at_most("p99", result.p99_ms, 50, " ms"),
            cpu_of_api(measured[OURS], measured[CEILING]),
            at_most("CPU an order", result.cpu_ms_per_order["total"], 0.6, " ms"),
            memory_of_api(result),
            *grown(result),
        ],
    )


def embedded(options: Options) -> Result:
    """POST /orders on SQLite, everything in one process as `./dev up` starts it; and the whole life there."""
    with open_stage(options, ["up"], on_servers=False) as stage:
        measured = _order(stage, options)
        options.say("the whole life")
        life = stage.customers[OURS].live(options.seconds / 2)
        result = stage.conclude("embedded", options, measured, [MESSAGE_QUEUE])
    paid = Measured([life])
    return replace(
        result,
        figures={"lifecycle_per_s": paid.completed_per_s, "lifecycle_cpu_ms_per_order": paid.cpu_ms_each["total"]},
        reach=[at_least("of the ceiling", result.ratio_to_ceiling, 0.5)],
    )


def _order(stage: Stage, options: Options) -> dict[str, Measured]:
    works: dict[str, Work] = {CEILING: partial(post_empty, stage.ceiling)}
    works |= {name: each.order for name, each in stage.customers.items()}
    return interleaved(works, seconds=options.seconds, say=options.say)
