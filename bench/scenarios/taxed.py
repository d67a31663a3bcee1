"""What a shop pays for what is always there: the checks of access, and the feed."""

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
_TOKEN: Final = re.compile(r"hf_live_shop_[0-9A-Za-z]{38}")


def tax(options: Options) -> Result:
    """What an API key and the feed cost: place and lifecycle by turns, without and with one, in an open API."""
    with open_stage(options, PROGRAMS, beside={_UNFED: (sys.executable, str(ROOT / "bench" / "unfed.py"))}) as stage:
        ours, unfed, key = stage.customers[OURS], stage.customers[_UNFED], _key(stage.ours)
        works: dict[str, Work] = {
            CEILING: partial(post_empty, stage.ceiling),
            OURS: ours.order,
            _WITH_KEY: partial(ours.order, key=key),
            _LIFE: ours.live,
            _LIFE_WITH_KEY: partial(ours.live, key=key),
            _UNFED: unfed.order,
            _LIFE_UNFED: unfed.live,
        }
        measured = interleaved(works, seconds=options.seconds, say=options.say)
        result = stage.conclude("tax", options, measured, [])
    rates = {name: measured[name].completed_per_s for name in (OURS, _WITH_KEY, _LIFE, _LIFE_WITH_KEY)}
    cpu = {name: measured[name].cpu_ms_each["total"] for name in (OURS, _LIFE, _UNFED, _LIFE_UNFED)}
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
        },
        reach=[
            at_least("of place without a key", ratio(rates[_WITH_KEY], rates[OURS]), 0.95),
            at_least("of lifecycle without a key", ratio(rates[_LIFE_WITH_KEY], rates[_LIFE]), 0.95),
            at_most("CPU of place, of that without the feed", ratio(cpu[OURS], cpu[_UNFED]), 1.05, " x"),
            at_most("CPU of lifecycle, of that without the feed", ratio(cpu[_LIFE], cpu[_LIFE_UNFED]), 1.05, " x"),
        ],
    )


def _key(shop: Shop) -> str:
    printed = shop.service.run("keys", "create", "--role", "shop", "--name", "bench")
    found = _TOKEN.search(printed)
    if found is None:
        raise AssertionError(f"no key was printed:\n{printed}")
    return found[0]
