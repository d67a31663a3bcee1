"""The whole shop, some hundred times, each time with other faults: the data is consistent in the end."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.simulation.command import story
from tests.simulation.faults import CARTS, RESTORED
from tests.simulation.house import Parts
from tests.simulation.mutations import MUTATIONS, Mutation, catch
from tests.simulation.points import CRASH_POINTS, MOST_ROUNDS
from tests.simulation.run import seldom_collecting, simulate

_ROOT: Final = Path(__file__).parents[2]
# Each crash point has as many runs of its own, which are some hundreds together; one at which nobody has
# crashed by then has up to `MOST_ROUNDS`. The parts can run at the same time.
_ROUNDS: Final = 3
_PARTS: Final = 8


@pytest.fixture(autouse=True)
def _seldom_collecting() -> Iterator[None]:
    with seldom_collecting():
        yield


@pytest.mark.parametrize("part", range(_PARTS))
def test_whatever_breaks_the_data_is_consistent_in_the_end(part: int) -> None:
    crashed: Counter[str] = Counter()
    points = range(part, len(CRASH_POINTS), _PARTS)
    for number in range(MOST_ROUNDS):
        for point in points if number < _ROUNDS else _missing(points, crashed):
            report = simulate(number * len(CRASH_POINTS) + point)
            crashed += report.crashed
            if report.findings:
                pytest.fail(story(simulate(report.seed, tracing=True), lines=40), pytrace=False)
    assert [CRASH_POINTS[point] for point in _missing(points, crashed)] == []


def _missing(points: Sequence[int], crashed: Counter[str]) -> list[int]:
    return [point for point in points if CRASH_POINTS[point] not in crashed]


def test_whatever_breaks_a_cart_is_ordered_once() -> None:
    for seed in range(20):
        assert simulate(seed, parts=Parts(weather=CARTS)).findings == ()


def test_whatever_breaks_a_restored_database_charges_nobody_twice() -> None:
    for seed in range(60):
        assert simulate(seed, parts=Parts(weather=RESTORED)).findings == ()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_fault_that_is_built_in_is_found(mutation: Mutation) -> None:
    assert catch(mutation) is not None


def test_a_seed_is_the_same_story_in_every_process() -> None:
    script = (
        "from hashlib import sha256; from tests.simulation.run import simulate\n"
        "told = [line for seed in range(20) for line in simulate(seed, tracing=True).trace]\n"
        "print(len(told), sha256('\\n'.join(told).encode()).hexdigest())"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=_ROOT,
            check=True,
            capture_output=True,
            text=True,
            timeout=600,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(told) == 1
