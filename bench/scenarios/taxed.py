"""What a shop pays for what is always there: checks of access, the feed, metrics, and traces that are not sampled."""

import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from statistics import median
from typing import Final

from attrs import frozen
from msgspec.structs import replace

from bench.aims import at_least, at_most
from bench.loads import post_empty
from bench.measure import ROUNDS, Window, Work, by_turns, interleaved
from bench.options import Options
from bench.result import Aim, Result
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
_TURNS: Final = 9
_RATE: Final = attrgetter("completed_per_s")
_COST: Final = attrgetter("cpu_ms_each")
# The programs of the builds beside ours.
_OTHERS: Final = {_UNFED: "unfed.py", _WATCHED: "watched.py"}


def _api_cost(window: Window) -> float:
    """In place, the other processes work off what earlier turns have left: what they take says little of this turn."""
    return window.cpu["api"] / max(1, window.completed)


@frozen
class _Tax:
    """One build beside another."""

    name: str
    of: str
    to: str
    figure: Callable[[Window], float]
    limit: float
    """Of the ratio: at least for a rate, at most for a cost."""

    def aim(self, turns: Sequence[float]) -> Aim:
        """One turn says little on a machine that others share: the median counts."""
        if self.figure is _RATE:
            return at_least(f"rate of {self.name}, median", median(turns), self.limit, " x")
        return at_most(f"CPU of {self.name}, median", median(turns), self.limit, " x")


_TAXES: Final = (
    _Tax("place with a key, of that without", _WITH_KEY, OURS, _RATE, 0.95),
    _Tax("lifecycle with a key, of that without", _LIFE_WITH_KEY, _LIFE, _RATE, 0.95),
    _Tax("place, of that without the feed", OURS, _UNFED, _COST, 1.05),
    _Tax("lifecycle, of that without the feed", _LIFE, _LIFE_UNFED, _COST, 1.05),
    _Tax("the API in place with metrics and unsampled traces", _WATCHED, OURS, _api_cost, 1.02),
    _Tax("lifecycle with metrics and unsampled traces", _LIFE_WATCHED, _LIFE, _COST, 1.02),
)


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
            _UNFED: unfed.order,
            _WATCHED: watched.order,
            _LIFE: ours.live,
            _LIFE_WITH_KEY: partial(ours.live, key=key),
            _LIFE_UNFED: unfed.live,
            _LIFE_WATCHED: watched.live,
        }
        # A turn is as long as in the other scenarios.
        measured = interleaved(works, seconds=_TURNS * options.seconds / ROUNDS, say=options.say, rounds=_TURNS)
        result = stage.conclude("tax", options, measured, [])
    turns = {each: by_turns(each.figure, measured[each.of], measured[each.to]) for each in _TAXES}
    return replace(
        result,
        figures=result.figures | {each.name: " ".join(f"{ratio:.3f}" for ratio in turns[each]) for each in _TAXES},
        reach=[each.aim(turns[each]) for each in _TAXES],
    )


def _key(shop: Shop) -> str:
    printed = shop.service.run("keys", "create", "--role", "shop", "--name", "bench")
    found = _TOKEN.search(printed)
    if found is None:
        raise AssertionError(f"no key was printed:\n{printed}")
    return found[0]
