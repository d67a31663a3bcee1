"""A result on the terminal."""

from rich.console import Console
from rich.table import Table

from bench.aims import shown
from bench.page import what_limits
from bench.result import Result


def show(result: Result, console: Console) -> None:
    rates = Table(title=f"{result.scenario}: {result.seconds:g} s under load", title_justify="left")
    for column in ("", "a second", "of it"):
        rates.add_column(column, justify="left" if not column else "right")
    rates.add_row("accepted", shown(result.accepted_per_s), "")
    rates.add_row("completed", shown(result.completed_per_s), "")
    rates.add_row("ceiling", shown(result.ceiling_per_s), _times(result.ratio_to_ceiling))
    rates.add_row("one at a time", shown(result.unbatched_per_s), _times(result.ratio_to_unbatched))
    for peer in result.peers:
        rates.add_row(f"{peer.name} (earlier)", shown(peer.per_s), _times(result.completed_per_s / peer.per_s))
    console.print(rates)
    waits = {"p50": result.p50_ms, "p99": result.p99_ms, "p99.9": result.p999_ms}
    if told := [f"{share} {shown(wait, ' ms')}" for share, wait in waits.items() if wait is not None]:
        console.print(f"latency: {', '.join(told)}")
    if result.refused_or_broken:
        console.print(f"refused or broken off: {result.refused_or_broken}")
    for name, value in result.figures.items():
        console.print(f"{name}: {value if isinstance(value, str) else shown(value)}")
    costs = Table("process", "CPU ms each", "cores busy", "memory MB")
    for name in dict.fromkeys([*result.cpu_ms_per_order, *result.cores_busy]):
        costs.add_row(
            name,
            *(_cell(figures.get(name)) for figures in (result.cpu_ms_per_order, result.cores_busy, result.memory_mb)),
        )
    console.print(costs)
    reach = Table("to reach", "measured", "")
    for aim in result.reach:
        reach.add_row(aim.aim, aim.measured, "reached" if aim.reached else "NOT REACHED")
    if result.reach:
        console.print(reach)
    console.print(f"what limits it: {what_limits(result)}")
    console.print(f"invariants: {result.invariants}")


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} x"


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
