"""`./dev simulate`: what it says, and its exit codes."""

from collections import Counter

import pytest
from rich.console import Console

from tests.dev_command import run_here
from tests.simulation.command import ENOUGH_SEEDS, summary
from tests.simulation.points import CRASH_POINTS


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--help",), 0, "Exit codes"),
        (("--seed", "5"), 0, "all is well"),
        (("--seeds", "3"), 0, "crash points were not hit: run more seeds"),
        (("--seeds", "0"), 2, 'simulate: Invalid value "0" for --seeds. Must be >= 1'),
        (("--seed", "x"), 2, "--seed: 'x' is not a whole number"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_it_says_what_came_of_it(
    arguments: tuple[str, ...],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, output = run_here("tests.simulation", *arguments, capsys=capsys, monkeypatch=monkeypatch)
    assert (found, said in output) == (status, True), output


@pytest.mark.parametrize(
    ("missed", "seeds", "last_line"),
    [
        (0, 1, "nothing was found"),
        (1, ENOUGH_SEEDS - 1, f"1 crash points were not hit: run more seeds ({ENOUGH_SEEDS} must hit all)"),
        (0, ENOUGH_SEEDS, "nothing was found"),
        (1, ENOUGH_SEEDS, f"FAILED: 1 crash points were not hit in {ENOUGH_SEEDS} seeds"),
    ],
)
def test_a_crash_point_that_was_not_hit_is_a_failure_after_enough_seeds(
    missed: int, seeds: int, last_line: str
) -> None:
    console = Console(record=True)
    well = summary(console, Counter(CRASH_POINTS[missed:]), seeds=seeds)
    printed = console.export_text()
    assert printed.rstrip().endswith(last_line)
    assert printed.count(f"not hit: {CRASH_POINTS[0]}\n") == missed
    assert well is not last_line.startswith("FAILED")
