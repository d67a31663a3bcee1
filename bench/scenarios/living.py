"""`lifecycle` and `hot`: orders are placed, paid for, and complete when they are PAID."""

from functools import partial
from typing import Final

from msgspec.structs import replace

from bench.aims import VENDURE, at_least, at_most
from bench.loads import ONE, Customers, post_empty
from bench.measure import Measured, Work, interleaved
from bench.options import Options, machine
from bench.result import Result, make_result, ratio
from bench.stage import CEILING, OURS, UNBATCHED, Stage, open_stage
from bench.usage import memory_by_process

_PROGRAMS: Final = ["api", "worker", "relay"]
_MANY: Final = "many products"


def lifecycle(options: Options) -> Result:
    with open_stage(options, _PROGRAMS) as stage:
        customers = {name: Customers(shop) for name, shop in stage.shops.items()}
        measured = interleaved(
            {CEILING: partial(post_empty, stage.ceiling)} | {name: each.live for name, each in customers.items()},
            seconds=options.seconds,
            say=options.say,
        )
        result = _result("lifecycle", options, stage, measured, customers)
    return replace(
        result,
        reach=[
            at_least("of the ceiling", result.ratio_to_ceiling, 0.13),
            at_least("of one at a time", result.ratio_to_unbatched, 4, " x"),
            at_least("of Vendure", result.completed_per_s / VENDURE.per_s, 50, " x"),
            at_most("CPU an order", result.cpu_ms_per_order["total"], 1.6, " ms"),
        ],
    )


def hot(options: Options) -> Result:
    """Everybody wants one product; beside it, the same shop with all of its products."""
    with open_stage(options, _PROGRAMS) as stage:
        customers = {name: Customers(shop) for name, shop in stage.shops.items()}
        works: dict[str, Work] = {CEILING: partial(post_empty, stage.ceiling), _MANY: customers[OURS].live}
        works |= {name: partial(each.live, products=ONE) for name, each in customers.items()}
        measured = interleaved(works, seconds=options.seconds, say=options.say)
        result = _result("hot", options, stage, measured, customers)
    of_lifecycle = ratio(result.completed_per_s, measured[_MANY].completed_per_s)
    return replace(
        result,
        figures=result.figures | {"lifecycle_per_s": measured[_MANY].completed_per_s},
        reach=[at_least("of lifecycle", of_lifecycle, 0.9)],
    )


def _result(
    scenario: str, options: Options, stage: Stage, measured: dict[str, Measured], customers: dict[str, Customers]
) -> Result:
    options.say("checking the books")
    memory = memory_by_process(stage.ours.pids)
    waits = sorted(stage.ours.books.seconds_to_paid())
    return make_result(
        scenario,
        measured[OURS],
        ceiling=measured[CEILING],
        unbatched=measured[UNBATCHED],
        findings=[finding for each in customers.values() for finding in each.findings()],
        memory=memory,
        seconds=options.seconds,
        orders=options.orders,
        peers=[VENDURE],
        machine=machine(stage.ours.ready()),
        figures={f"to_paid_p{share}_ms": 1000 * waits[len(waits) * share // 100] for share in (50, 99) if waits},
    )
