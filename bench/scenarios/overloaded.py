"""Three times the peak, from clients that don't wait for each other."""

import math
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

import msgspec
from msgspec.structs import replace

from bench.aims import MESSAGE_QUEUE, at_least, at_most
from bench.loads import post_empty
from bench.measure import Measured, Usage, Window, interleaved
from bench.open_loop import Result as Answers
from bench.open_loop import post
from bench.options import Options
from bench.overload import PLACED, REFUSED, Overload, find_peak, measure_overload
from bench.result import Result, ratio
from bench.shops import PRODUCTS, Shop
from bench.stage import CEILING, OURS, UNBATCHED, Stage, open_stage
from bench.wrk import Latencies, Load

_PREPARED: Final = 2_000


def overload(options: Options) -> Result:
    """Three times the peak: how much the service still does, and how soon it recovers."""
    with open_stage(options, ["api"]) as stage:
        measured = interleaved({CEILING: partial(post_empty, stage.ceiling)}, seconds=options.seconds, say=options.say)
        options.say("looking for the peak, then three times as much")
        attacked, outcome = _attack(stage, options.seconds)
        options.say("looking for the peak of one at a time")
        unbatched_peak = find_peak(_port(stage.customers[UNBATCHED].shop), _requests())
        stage.customers[UNBATCHED].others_ordered(0, unheard=math.inf)
        result = stage.conclude("overload", options, measured | {OURS: attacked}, [MESSAGE_QUEUE])
    answers = sum(outcome.outcomes[status] for status in (*PLACED, *REFUSED))
    return replace(
        result,
        accepted_per_s=outcome.goodput,
        completed_per_s=outcome.goodput,
        ratio_to_ceiling=ratio(outcome.goodput, measured[CEILING].completed_per_s),
        unbatched_per_s=unbatched_peak,
        ratio_to_unbatched=ratio(outcome.goodput, unbatched_peak),
        figures={
            "peak_per_s": outcome.peak_goodput,
            "offered_per_s": outcome.offered,
            "offered_of_peak": ratio(outcome.offered, outcome.peak_goodput),
            # What an order and what a refusal costs can't be told apart here: a refusal is the cheaper one of the two.
            "api_cpu_ms_an_answer": 1000 * sum(window.cpu["api"] for window in attacked.windows) / max(1, answers),
            "refused_p99_ms": 1000 * outcome.p99_refused,
            "p99_before_ms": 1000 * outcome.p99_before,
            "p99_after_ms": 1000 * outcome.p99_after,
            "recovered_after_s": outcome.recovered_after,
            "outcomes": ", ".join(f"{status}: {count}" for status, count in sorted(outcome.outcomes.items())),
        },
        reach=[
            at_least("of the peak, at three times as much", ratio(outcome.goodput, outcome.peak_goodput), 0.8),
            at_most("itself again after", outcome.recovered_after, 10, " s"),
        ],
    )


def _attack(stage: Stage, seconds: float) -> tuple[Measured, Overload]:
    """The overload alone, without the search for the peak, and its result."""
    ours, looks = stage.customers[OURS], list[Usage]()
    outcome = measure_overload(
        _port(ours.shop), _requests(), look=lambda: looks.append(Usage.of(ours.shop)), seconds=seconds
    )
    # The search for the peak also placed orders, which were not counted.
    ours.others_ordered(outcome.placed, unheard=math.inf)
    loads = [_load(turn, seconds / len(outcome.turns)) for turn in outcome.turns]
    windows = [
        Window.between(began, ended, load=load, completed=load.answered, seconds=load.seconds)
        for began, ended, load in zip(looks[::2], looks[1::2], loads, strict=True)
    ]
    return Measured(windows), outcome


def _load(turn: Answers, seconds: float) -> Load:
    placed = [1000 * latency for status, latency in zip(turn.status, turn.latency, strict=True) if status in PLACED]
    return Load(
        requests=len(turn.status),
        seconds=seconds,
        refused=len(turn.status) - len(placed),
        latencies=Latencies.of_each(placed),
    )


def _port(shop: Shop) -> int:
    return shop.service.port


def _requests() -> Callable[[int], bytes]:
    """Made before, since to make them costs time."""
    chance = Random(_PREPARED)  # noqa: S311 - the same each time
    made = [_make_request(chance) for _ in range(_PREPARED)]
    return lambda number: made[number % _PREPARED]


def _make_request(chance: Random) -> bytes:
    products = chance.sample(range(1, PRODUCTS + 1), chance.randint(1, 3))
    items = [{"product_id": product, "quantity": chance.randint(1, 3)} for product in products]
    return post("/orders", msgspec.json.encode({"user_id": chance.randint(1, 100_000), "items": items}))
