"""What the checks of access cost: the same process, by turns without and with an API key."""

import re
from functools import partial
from typing import Final

from msgspec.structs import replace

from bench.aims import at_least
from bench.loads import post_empty
from bench.measure import Work, interleaved
from bench.options import Options
from bench.result import Result, ratio
from bench.scenarios.living import PROGRAMS
from bench.shops import Shop
from bench.stage import CEILING, OURS, open_stage

_WITH_KEY: Final = "place, with a key"
_LIFE: Final = "lifecycle"
_LIFE_WITH_KEY: Final = "lifecycle, with a key"
_TOKEN: Final = re.compile(r"hf_live_shop_[0-9A-Za-z]{38}")


def tax(options: Options) -> Result:
    """What an API key costs: place and lifecycle by turns, without and with one, in the same open API."""
    with open_stage(options, PROGRAMS) as stage:
        ours, key = stage.customers[OURS], _key(stage.ours)
        works: dict[str, Work] = {
            CEILING: partial(post_empty, stage.ceiling),
            OURS: ours.order,
            _WITH_KEY: partial(ours.order, key=key),
            _LIFE: ours.live,
            _LIFE_WITH_KEY: partial(ours.live, key=key),
        }
        measured = interleaved(works, seconds=options.seconds, say=options.say)
        result = stage.conclude("tax", options, measured, [])
    rates = {name: measured[name].completed_per_s for name in (OURS, _WITH_KEY, _LIFE, _LIFE_WITH_KEY)}
    return replace(
        result,
        figures={
            **result.figures,
            "with_a_key_per_s": rates[_WITH_KEY],
            "lifecycle_per_s": rates[_LIFE],
            "lifecycle_with_a_key_per_s": rates[_LIFE_WITH_KEY],
        },
        reach=[
            at_least("of place without a key", ratio(rates[_WITH_KEY], rates[OURS]), 0.95),
            at_least("of lifecycle without a key", ratio(rates[_LIFE_WITH_KEY], rates[_LIFE]), 0.95),
        ],
    )


def _key(shop: Shop) -> str:
    printed = shop.service.run("keys", "create", "--role", "shop", "--name", "bench")
    found = _TOKEN.search(printed)
    if found is None:
        raise AssertionError(f"no key was printed:\n{printed}")
    return found[0]
