"""What a shop pays for what is always there: checks of access, the feed, metrics, and traces that are not sampled."""

import re
import sys
from functools import partial
from typing import Final

from msgspec.structs import replace

from bench.aims import at_least, at_most
from bench.loads import post_empty
from bench.measure import Work, interleaved
from bench.options import Options
from bench.result import Result, ratio
from bench.scenarios.living import PROGRAMS
from bench.shops import ROOT, Shop
from bench.stage import CEILING, OURS, open_stage

_WITH_KEY: Final = "place, with a key"
_LIFE: Final = "lifecycle"
_LIFE_WITH_KEY: Final = "lifecycle, with a key"
_UNFED: Final = "place, without the feed"
_LIFE_UNFED: Final = "lifecycle, without the feed"
_WATCHED: Final = "place, with metrics and unsampled traces"
_LIFE_WATCHED: Final = "lifecycle, with metrics and unsampled traces"
_TOKEN: Final = re.compile(r"hf_live_shop_[0-9A-Za-z]{38}")
# The programs of the builds beside ours.
_OTHERS: Final = {_UNFED: "unfed.py", _WATCHED: "watched.py"}


def tax(options: Options) -> Result:
    """What an API key, the feed, metrics and unsampled traces cost: place and lifecycle by turns, without and with."""
    beside = {name: (sys.executable, str(ROOT / "bench" / file)) for name, file in _OTHERS.items()}
    with open_stage(options, PROGRAMS, beside=beside) as stage:
        ours, unfed, key = stage.customers[OURS], stage.customers[_UNFED], _key(stage.ours)
        watched = stage.customers[_WATCHED]
        works: dict[str, Work] = {
            CEILING: partial(post_empty, stage.ceiling),
            OURS: ours.order,
            _WITH_KEY: partial(ours.order, key=key),
            _LIFE: ours.live,
            _LIFE_WITH_KEY: partial(ours.live, key=key),
            _UNFED: unfed.order,
            _LIFE_UNFED: unfed.live,
            _WATCHED: watched.order,
            _LIFE_WATCHED: watched.live,
        }
        measured = interleaved(works, seconds=options.seconds, say=options.say)
        result = stage.conclude("tax", options, measured, [])
    rates = {name: measured[name].completed_per_s for name in (OURS, _WITH_KEY, _LIFE, _LIFE_WITH_KEY)}
    cpu = {
        name: measured[name].cpu_ms_each["total"]
        for name in (OURS, _LIFE, _UNFED, _LIFE_UNFED, _WATCHED, _LIFE_WATCHED)
    }
    return replace(
        result,
        figures={
            **result.figures,
            "with_a_key_per_s": rates[_WITH_KEY],
            "lifecycle_per_s": rates[_LIFE],
            "lifecycle_with_a_key_per_s": rates[_LIFE_WITH_KEY],
            "place_cpu_ms": cpu[OURS],
            "place_without_the_feed_cpu_ms": cpu[_UNFED],
            "lifecycle_cpu_ms": cpu[_LIFE],
            "lifecycle_without_the_feed_cpu_ms": cpu[_LIFE_UNFED],
            "place_with_metrics_and_traces_cpu_ms": cpu[_WATCHED],
            "lifecycle_with_metrics_and_traces_cpu_ms": cpu[_LIFE_WATCHED],
        },
        reach=[
            at_least("of place without a key", ratio(rates[_WITH_KEY], rates[OURS]), 0.95),
            at_least("of lifecycle without a key", ratio(rates[_LIFE_WITH_KEY], rates[_LIFE]), 0.95),
            at_most("CPU of place, of that without the feed", ratio(cpu[OURS], cpu[_UNFED]), 1.05, " x"),
            at_most("CPU of lifecycle, of that without the feed", ratio(cpu[_LIFE], cpu[_LIFE_UNFED]), 1.05, " x"),
            at_most("CPU of place with metrics and unsampled traces", ratio(cpu[_WATCHED], cpu[OURS]), 1.02, " x"),
            at_most("CPU of lifecycle with both", ratio(cpu[_LIFE_WATCHED], cpu[_LIFE]), 1.02, " x"),
        ],
    )


def _key(shop: Shop) -> str:
    printed = shop.service.run("keys", "create", "--role", "shop", "--name", "bench")
    found = _TOKEN.search(printed)
    if found is None:
        raise AssertionError(f"no key was printed:\n{printed}")
    return found[0]
