"""Measures what happens between two moments, and combines rounds."""

import resource
import time
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import add
from typing import Final

from attrs import field, frozen

from bench.shops import Say, Shop
from bench.usage import busy_seconds, cpu_by_process
from bench.wrk import Latencies, Load

ROUNDS: Final = 2
LOAD: Final = "load generator"
OTHERS: Final = "others"
_WARM_UP_SECONDS: Final = 2.0


@frozen(kw_only=True)
class Usage:
    """The CPU time that each process had used at a moment."""

    at: float
    cpu: Mapping[str, float]
    load_cpu: float
    busy: float

    @classmethod
    def of(cls, shop: Shop) -> "Usage":
        return cls(at=time.monotonic(), cpu=cpu_by_process(shop.pids), load_cpu=_cpu_of_load(), busy=busy_seconds())


@frozen(kw_only=True)
class Window:
    """One stretch of work: what the load generator saw, what was completed until `seconds`, and what it cost."""

    load: Load
    completed: int
    seconds: float
    cpu: Mapping[str, float]
    """Seconds of CPU of each process of the shop."""
    load_cpu: float
    """The CPU seconds of the load generator."""
    busy: float
    """The CPU seconds of all processes on this machine."""
    cpu_seconds: float
    """Over how long."""

    @property
    def completed_per_s(self) -> float:
        return self.completed / self.seconds

    @property
    def cpu_ms_each(self) -> float:
        """Milliseconds of CPU of all processes of the shop for each that was completed."""
        return 1000 * sum(self.cpu.values()) / max(1, self.completed)

    @classmethod
    def between(cls, before: Usage, after: Usage, *, load: Load, completed: int, seconds: float) -> "Window":
        return cls(
            load=load,
            completed=completed,
            seconds=seconds,
            cpu={name: after.cpu[name] - before.cpu[name] for name in before.cpu},
            load_cpu=after.load_cpu - before.load_cpu,
            busy=after.busy - before.busy,
            cpu_seconds=after.at - before.at,
        )


# Loads one build for so many seconds.
Work = Callable[[float], Window]


@frozen
class Measured:
    """Several windows of one build."""

    windows: Sequence[Window] = field(repr=False)

    @property
    def accepted_per_s(self) -> float:
        accepted = sum(window.load.accepted for window in self.windows)
        return accepted / sum(window.load.seconds for window in self.windows)

    @property
    def completed_per_s(self) -> float:
        return self.completed / sum(window.seconds for window in self.windows)

    @property
    def completed(self) -> int:
        return sum(window.completed for window in self.windows)

    @property
    def failed(self) -> int:
        return sum(window.load.refused + window.load.broken for window in self.windows)

    @property
    def latencies(self) -> Latencies:
        return reduce(add, (window.load.latencies for window in self.windows), Latencies())

    @property
    def cpu_ms_each(self) -> dict[str, float]:
        """Milliseconds of CPU for each that was completed, by process, and in total."""
        by_process = {
            name: 1000 * sum(window.cpu[name] for window in self.windows) / max(1, self.completed)
            for name in self.windows[0].cpu
        }
        return {"total": sum(by_process.values()), **by_process}

    @property
    def cores_busy(self) -> dict[str, float]:
        """The share of a core that each process had on average, with the load generator and other processes."""
        seconds = sum(window.cpu_seconds for window in self.windows)
        spent = {name: sum(window.cpu[name] for window in self.windows) for name in self.windows[0].cpu}
        spent[LOAD] = sum(window.load_cpu for window in self.windows)
        spent[OTHERS] = max(0.0, sum(window.busy for window in self.windows) - sum(spent.values()))
        return {name: cpu / seconds for name, cpu in spent.items()}


def watch(
    shop: Shop,
    work: Callable[[], Load],
    completed: Callable[[Load], int],
    *,
    settle: Callable[[], float | None] | None = None,
) -> Window:
    """Do the work and measure it.

    `settle` waits for work that is left, which is part of the cost. If it returns when the work was done, the window
    ends there.
    """
    before = Usage.of(shop)
    load = work()
    done = settle() if settle else None
    after = Usage.of(shop)
    seconds = load.seconds if done is None else done - before.at
    return Window.between(before, after, load=load, completed=completed(load), seconds=seconds)


def _cpu_of_load() -> float:
    """Of this process, and of its children that have ended: in a window, that is the load generator."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def interleaved(works: Mapping[str, Work], *, seconds: float, say: Say, rounds: int = ROUNDS) -> dict[str, Measured]:
    """Measure each in turn, and that `rounds` times, so that a machine that drifts drifts for all of them.

    Every other round goes backwards: nobody always comes after the same one.
    """
    windows: dict[str, list[Window]] = {name: [] for name in works}
    for name, work in works.items():
        say(f"{name}: warming up")
        work(min(_WARM_UP_SECONDS, seconds))
    turn = list(works.items())
    for number in range(rounds):
        for name, work in turn:
            say(f"{name}: round {number + 1} of {rounds}")
            windows[name].append(work(seconds / rounds))
        turn.reverse()
    return {name: Measured(found) for name, found in windows.items()}


def by_turns(figure: Callable[[Window], float], of: Measured, to: Measured) -> list[float]:
    """What the figure of the one is of the other's, round by round."""
    return [figure(one) / figure(other) for one, other in zip(of.windows, to.windows, strict=True)]
