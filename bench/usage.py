"""What processes cost: CPU time and memory, read from /proc."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.servers import keeper

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_KIB_PER_MB: Final = 1000 / 1.024


def cpu_by_process(pids: Mapping[str, int]) -> dict[str, float]:
    """Seconds of each, all that descend from it, and those of them that have ended and were waited for."""
    members = zip(pids, keeper.trees(list(pids.values())), strict=True)
    return {name: sum(map(_own_seconds, tree)) for name, tree in members}


def memory_by_process(pids: Mapping[str, int]) -> dict[str, float]:
    """Megabytes of each and all that descend from it; what they share is counted once."""
    members = zip(pids, keeper.trees(list(pids.values())), strict=True)
    return {name: sum(map(_proportional_kib, tree)) / _KIB_PER_MB for name, tree in members}


def seconds_of(stat: str) -> float:
    """utime, stime, cutime and cstime of a line of /proc/PID/stat, whose second field may hold anything."""
    fields = stat.rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS


def busy_seconds() -> float:
    """The CPU time of all cores and processes, including the time that a hypervisor took away."""
    return busy_of(Path("/proc/stat").read_text())


def busy_of(stat: str) -> float:
    """The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq and steal."""
    user, nice, system, _, _, *rest = map(int, stat.splitlines()[0].split()[1:9])
    return (user + nice + system + sum(rest)) / _TICKS


def _own_seconds(pid: int) -> float:
    # The process may have ended since it was found.
    with suppress(OSError):
        return seconds_of(Path(f"/proc/{pid}/stat").read_text(errors="replace"))
    return 0.0


def _proportional_kib(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0
