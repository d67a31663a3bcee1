"""Runs many seeds, one seed with its trace, or the faults that are built in on purpose."""

import time
from collections import Counter
from typing import Final

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, track
from rich.table import Table

from tests.simulation.mutations import MUTATIONS, catch
from tests.simulation.points import CRASH_POINTS, MOST_ROUNDS
from tests.simulation.run import Report, seldom_collecting, simulate

# After as many, every crash point must have been hit.
ENOUGH_SEEDS: Final = MOST_ROUNDS * len(CRASH_POINTS)

_SHOWN: Final = 40


def story(report: Report, *, lines: int | None = None) -> str:
    """What happened, what was found, and how to see it again."""
    trace = report.trace[-lines:] if lines else report.trace
    found = [f"FOUND: {finding}" for finding in report.findings]
    return "\n".join([*trace, *found, f"again: ./dev simulate --seed {report.seed}"])


def simulate_one(seed: int) -> bool:
    report = simulate(seed, tracing=True)
    console = Console(highlight=False)
    console.print(story(report), markup=False)
    if not report.findings:
        console.print(f"seed {seed}: all is well after {report.steps} steps")
    return not report.findings


def simulate_many(seeds: int) -> bool:
    """Stop at the first seed that finds something."""
    console = Console(highlight=False)
    crashed: Counter[str] = Counter()
    began, began_work = time.perf_counter(), time.process_time()
    columns = (MofNCompleteColumn(), TextColumn("seeds, {task.fields[rate]:.0f} a second"), TimeRemainingColumn())
    with seldom_collecting(), Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=seeds, rate=0.0)
        for seed in range(seeds):
            report = simulate(seed)
            crashed += report.crashed
            if report.findings:
                progress.stop()
                console.print(story(simulate(seed, tracing=True), lines=_SHOWN), markup=False)
                return False
            progress.update(bar, advance=1, rate=(seed + 1) / (time.perf_counter() - began))
    spent, worked = time.perf_counter() - began, time.process_time() - began_work
    console.print(
        f"{seeds} seeds in {spent:.1f} s, {seeds / spent:.0f} a second"
        f" and {seeds / worked:.0f} a second of processor time"
    )
    return summary(console, crashed, seeds=seeds)


def summary(console: Console, crashed: Counter[str], *, seeds: int) -> bool:
    """Print which crash points were hit. False when one was not, although there were enough seeds to hit them all."""
    missed = [point for point in CRASH_POINTS if point not in crashed]
    console.print(f"{crashed.total()} crashes at {len(CRASH_POINTS) - len(missed)} of {len(CRASH_POINTS)} crash points")
    for point in missed:
        console.print(f"not hit: {point}")
    if not missed:
        console.print("nothing was found")
    elif seeds < ENOUGH_SEEDS:
        console.print(
            f"nothing was found, but {len(missed)} crash points were not hit: run more seeds"
            f" ({ENOUGH_SEEDS} must hit all)",
            soft_wrap=True,
        )
    else:
        console.print(f"FAILED: {len(missed)} crash points were not hit in {seeds} seeds", soft_wrap=True)
    return not missed or seeds < ENOUGH_SEEDS


def simulate_mutations() -> bool:
    """Print which fault was found with which seed, and by what. True when each was."""
    console = Console(highlight=False)
    table = Table("what is wrong", "found with seed", "by")
    all_caught = True
    for mutation in track(MUTATIONS, "breaking one part after the other", console=console, transient=True):
        with seldom_collecting():
            report = catch(mutation)
        if report is None:
            all_caught = False
            table.add_row(mutation.name, f"NOT FOUND in {mutation.seeds}", "")
        else:
            table.add_row(mutation.name, str(report.seed), report.findings[0])
    console.print(table)
    return all_caught
