"""`./dev simulate`: the whole shop in memory, many times."""

from typing import Annotated, Final

from cyclopts import Parameter

from entrypoints.cli.common import Whole
from tests.dev_command import Count, run_command
from tests.simulation.command import ENOUGH_SEEDS, simulate_many, simulate_mutations, simulate_one

_ABOUT: Final = f"""
Run the whole shop in memory, where chance decides what breaks and when, and check it afterwards.

The first run that finds something is the last one. It prints what happened, and the command that repeats it.

Processes crash at crash points: before and after each call of a port. Each run aims at one of them, and does not always
hit it. The crash points that no run has hit are printed at the end. A few seeds always leave some, which is no failure;
{ENOUGH_SEEDS} seeds must hit all.

Exit codes: 0, nothing was found; 1, something was found, or {ENOUGH_SEEDS} seeds or more did not hit every crash point;
2, wrong arguments.
"""


def simulate(
    *,
    seeds: Annotated[Count, Parameter(help="Number of runs.")] = 1000,
    seed: Annotated[Whole | None, Parameter(help="Run this seed only, and print everything that happens.")] = None,
    mutations: Annotated[
        bool, Parameter(help="Break one part of Holdfast after the other: each must be found.", negative="")
    ] = False,
) -> bool:
    if mutations:
        return simulate_mutations()
    return simulate_many(seeds) if seed is None else simulate_one(seed)


if __name__ == "__main__":
    run_command("simulate", simulate, about=_ABOUT)
