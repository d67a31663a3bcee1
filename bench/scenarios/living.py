"""The whole life: orders are placed, paid for, and complete when they are PAID."""

from functools import partial
from typing import Final

from msgspec.structs import replace

from bench.aims import VENDURE, at_least, at_most, times_best_peer
from bench.loads import ONE, post_empty
from bench.measure import Work, interleaved
from bench.options import Options
from bench.result import Result, ratio
from bench.shops import Shop
from bench.stage import CEILING, OURS, open_stage

PROGRAMS: Final = ("api", "worker", "relay")
_MANY: Final = "many products"


def lifecycle(options: Options) -> Result:
    """Orders are placed, paid for and PAID, with API, relay and worker, until none is left."""
    with open_stage(options, PROGRAMS) as stage:
        works: dict[str, Work] = {CEILING: partial(post_empty, stage.ceiling)}
        works |= {name: each.live for name, each in stage.customers.items()}
        measured = interleaved(works, seconds=options.seconds, say=options.say)
        waits = _waits(stage.ours)
        result = stage.conclude("lifecycle", options, measured, [VENDURE])
    return replace(
        result,
        figures={**result.figures, **waits},
        reach=[
            at_least("of the ceiling", result.ratio_to_ceiling, 0.13),
            at_least("of one at a time", result.ratio_to_unbatched, 4, " x"),
            times_best_peer(result, 50),
            at_most("CPU an order", result.cpu_ms_per_order["total"], 1.6, " ms"),
        ],
    )


def hot(options: Options) -> Result:
    """As lifecycle, but all orders are for one product. For comparison, the same shop with all of its products."""
    with open_stage(options, PROGRAMS) as stage:
        works: dict[str, Work] = {CEILING: partial(post_empty, stage.ceiling), _MANY: stage.customers[OURS].live}
        works |= {name: partial(each.live, products=ONE) for name, each in stage.customers.items()}
        measured = interleaved(works, seconds=options.seconds, say=options.say)
        result = stage.conclude("hot", options, measured, [VENDURE])
    many_per_s = measured[_MANY].completed_per_s
    return replace(
        result,
        figures=result.figures | {"lifecycle_per_s": many_per_s},
        reach=[at_least("of lifecycle", ratio(result.completed_per_s, many_per_s), 0.9)],
    )


def _waits(shop: Shop) -> dict[str, float]:
    """From the request to pay until the order is PAID, while the shop is full."""
    waits = sorted(shop.data.seconds_to_paid())
    return {f"to_paid_p{share}_ms": 1000 * waits[len(waits) * share // 100] for share in (50, 99) if waits}
