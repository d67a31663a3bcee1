"""docs/performance.md, its pictures, and the results that both are made of."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.aims import shown
from bench.measure import OTHERS
from bench.plot import plot
from bench.result import Machine, Result, encode

# The text between these markers was written by a person, and is kept.
_BEGIN: Final = "<!-- by hand: what stands from here to the end of the page is kept -->"
_BY_HAND: Final = f"""{_BEGIN}

## What each change gave

"""
# From this share on a core is called full: a process that waits for nothing is not measured at more everywhere.
_FULL: Final = 0.85
# Other processes with more than this share of the machine distort the results.
_DISTURBED: Final = 0.1

_HOW: Final = """\
Written by `./dev bench all`, but for the end. Every scenario starts servers and processes of its own, with `fsync`
and `synchronous_commit` as PostgreSQL has them, and with files of its log to use again, as one has that is older than
an hour. The empty handler (the ceiling), this build, and this build with `HOLDFAST_BATCH_MAX=1` (one at a time) stand
ready together and are loaded in turns: only the ratios of one run can be compared. Afterwards the data is checked:
orders, items, histories, stock and money. The ceiling is plain Quart on plain uvicorn, while Holdfast runs Quart with
one task a request (`entrypoints/http/server/connection.py`), so that a read can be above it. What is marked * was not
measured in this run: it is what another system did earlier on a like machine, times what the ceiling is here of what
it was there."""


def keep(folder: Path, results: Sequence[Result]) -> None:
    """Write the results, a picture of each, and the page."""
    folder.mkdir(exist_ok=True)
    lines = ",\n".join(encode(result) for result in results)
    (folder / "performance.json").write_text(f"[\n{lines}\n]\n")
    pictures = folder / "performance"
    pictures.mkdir(exist_ok=True)
    for result in results:
        (pictures / f"{result.name}.svg").write_text(plot(result))
    page = folder / "performance.md"
    _, begin, by_hand = page.read_text().partition(_BEGIN) if page.exists() else ("", "", "")
    page.write_text(make_page(results) + (begin + by_hand if begin else _BY_HAND))


def kept(folder: Path) -> list[Result]:
    """Those of the last time."""
    return msgspec.json.decode((folder / "performance.json").read_bytes(), type=list[Result])


def make_page(results: Sequence[Result]) -> str:
    """The generated part."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: Sequence[Result]) -> Iterator[str]:
    yield "# Performance"
    yield ""
    yield _HOW
    yield ""
    machine = results[0].machine if results else None
    if machine is not None:
        yield _machine(machine)
        yield ""
    yield from _table(
        "scenario", "accepted/s", "completed/s", "of the ceiling", "of one at a time", "p50", "p99", "CPU each"
    )
    for result in results:
        yield _row(
            f"[{result.name}](#{result.name})",
            shown(result.accepted_per_s),
            shown(result.completed_per_s),
            _ratio(result.ratio_to_ceiling),
            _ratio(result.ratio_to_unbatched),
            shown(result.p50_ms, " ms"),
            shown(result.p99_ms, " ms"),
            shown(result.cpu_ms_per_order["total"], " ms"),
        )
    for result in results:
        yield ""
        yield from _section(result)
    yield ""


def _section(result: Result) -> Iterator[str]:
    yield f"## {result.name}"
    yield ""
    yield f"{result.about} {result.seconds:g} s under load."
    yield ""
    yield f"![{result.name}: rates, latency, CPU](performance/{result.name}.svg)"
    yield ""
    yield from _table("what", "a second", "ours is")
    yield _row("ceiling", shown(result.ceiling_per_s), _ratio(result.ratio_to_ceiling))
    yield _row("completed", shown(result.completed_per_s), "")
    yield _row("one at a time", shown(result.unbatched_per_s), _ratio(result.ratio_to_unbatched))
    for peer in result.peers:
        yield _row(f"{peer.name} *", shown(peer.per_s), _ratio(result.completed_per_s / peer.per_s))
    yield ""
    yield from _table("process", "CPU ms each", "cores busy", "memory MB")
    costs = (result.cpu_ms_per_order, result.cores_busy, result.memory_mb)
    for name in dict.fromkeys([*result.cpu_ms_per_order, *result.cores_busy]):
        yield _row(name, *(shown(cost[name]) if name in cost else "" for cost in costs))
    yield ""
    if result.figures:
        yield from (f"- {_words(name)}: {_figure(value)}" for name, value in result.figures.items())
        yield ""
    if result.reach:
        yield from _table("to reach", "measured", "")
        yield from (
            _row(aim.aim, aim.measured, "reached" if aim.reached else "**not reached**") for aim in result.reach
        )
        yield ""
    yield f"Invariants: {result.invariants}."
    yield ""
    yield f"What limits it: {what_limits(result)}"
    for peer in result.peers:
        yield ""
        yield f"\\* {peer.name}: {peer.source}."


def what_limits(result: Result) -> str:
    """Which process fills its core, or whether the cores are full, or else that time is waited for."""
    cores = result.machine.cores if result.machine else 1
    ours = {name: share for name, share in result.cores_busy.items() if name != OTHERS}
    busiest, most = max(ours.items(), key=lambda each: each[1])
    others, total = result.cores_busy.get(OTHERS, 0.0), sum(result.cores_busy.values())
    if others > _DISTURBED * cores:
        verdict = f"what else ran on this machine: it took {others:.2f} of {cores} cores, and no rate here means much."
    elif most >= _FULL:
        verdict = f"{busiest} has a core and fills it."
    elif total >= _FULL * cores:
        verdict = f"the {cores} cores, which all processes share; none of them fills one by itself."
    else:
        verdict = f"not the processors, of which {cores - total:.2f} were free: it waits, for the disk or for its turn."
    return f"{verdict} Cores busy: {', '.join(f'{name} {share:.2f}' for name, share in result.cores_busy.items())}."


def _machine(machine: Machine) -> str:
    versions = ", ".join(f"{version}" for version in machine.versions.values())
    return f"Measured on {machine.cores} cores and {machine.memory_gb:g} GB, {machine.system}: {versions}."


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} x"


def _words(name: str) -> str:
    return name.replace("_per_s", " a second").replace("_", " ")


def _figure(value: float | str | None) -> str:
    return value if isinstance(value, str) else shown(value)


def _table(*heads: str) -> Iterator[str]:
    yield _row(*heads)
    yield "|" + "---|" * len(heads)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
