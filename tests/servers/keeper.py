"""Ends what a test run started, however the run itself ends; also run as a program of its own, by path.

The run holds one end of a pipe and this program the other. When the run is gone, even by SIGKILL, the pipe closes, and
every process and folder that is still registered here is killed or removed.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

# States of a process that holds nothing any more.
_ENDED = "ZX"


def _parents() -> dict[int, int]:
    """Every process of the machine that has not ended, with its parent."""
    found: dict[int, int] = {}
    if Path("/proc/self/stat").exists():
        # Not by a pattern: a process that ends while its folder is looked at would end the search.
        for pid in filter(str.isdigit, (entry.name for entry in Path("/proc").iterdir())):
            with suppress(OSError):
                # The name, in parentheses, may hold anything.
                state, parent, *_ = Path("/proc", pid, "stat").read_text(errors="replace").rpartition(")")[2].split()
                if state not in _ENDED:
                    found[int(pid)] = int(parent)
    else:
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,state="], capture_output=True, text=True, check=True)
        for line in listing.stdout.splitlines():
            pid, parent, state = line.split()
            if state[0] not in _ENDED:
                found[int(pid)] = int(parent)
    return found


def tree(pid: int) -> list[int]:
    """A process and all that descend from it, parents first."""
    return trees([pid])[0]


def trees(pids: Sequence[int]) -> list[list[int]]:
    """As `tree`, of each; all are looked at once, for each look reads through the whole machine."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents().items():
        children.setdefault(parent, []).append(child)
    found = [[pid] for pid in pids]
    for members in found:
        for ancestor in members:
            members.extend(children.get(ancestor, ()))
    return found


# Backends of PostgreSQL and ports of Erlang leave their parent's process group: so each process is registered.


def freeze_tree(pid: int) -> list[int]:
    """Return who was frozen. Those that were born meanwhile are found as well: who is frozen bears no more."""
    frozen: list[int] = []
    while born := [member for member in tree(pid) if member not in frozen]:
        _send(born, signal.SIGSTOP)
        frozen += born
    return frozen


def thaw_tree(pid: int) -> None:
    _send(tree(pid), signal.SIGCONT)


def kill_tree(pid: int) -> list[int]:
    """Return who was killed. They end soon, but not at once: `living` tells."""
    frozen = freeze_tree(pid)
    _send(frozen, signal.SIGKILL)
    return frozen


def living(pids: Iterable[int]) -> set[int]:
    return _parents().keys() & pids


def _send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def main() -> None:
    pids: set[int] = set()
    groups: set[int] = set()
    folders: set[str] = set()
    for line in sys.stdin:
        verb, what = line.rstrip("\n").split(" ", 1)
        if verb == "process":
            pids.add(int(what))
        elif verb == "ended":
            pids.discard(int(what))
        elif verb == "group":
            groups.add(int(what))
        elif verb == "folder":
            folders.add(what)
        elif verb == "removed":
            folders.discard(what)
    for pid in pids:
        kill_tree(pid)
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
