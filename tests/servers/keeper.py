"""Ends what a test run started, however the run itself ends; also run as a program of its own, by path.

The run holds one end of a pipe and this program the other. When the run is gone, even by SIGKILL, the pipe closes,
and what was told here and not taken back is killed and removed.
"""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def _parents() -> dict[int, int]:
    """Every process of the machine, with its parent."""
    found: dict[int, int] = {}
    if Path("/proc/self/stat").exists():
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                # The name, in parentheses, may hold anything; the parent is the second field after it.
                found[int(entry.parent.name)] = int(entry.read_text(errors="replace").rpartition(")")[2].split()[1])
    else:
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
        for line in listing.stdout.splitlines():
            pid, parent = line.split()
            found[int(pid)] = int(parent)
    return found


def tree(pid: int) -> list[int]:
    """A process and all that descend from it, parents first."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents().items():
        children.setdefault(parent, []).append(child)
    found = [pid]
    for ancestor in found:
        found.extend(children.get(ancestor, ()))
    return found


def signal_tree(pid: int, number: int) -> None:
    """To every member: backends of PostgreSQL and ports of Erlang leave their parent's process group."""
    for member in tree(pid):
        with suppress(ProcessLookupError):
            os.kill(member, number)


def main() -> None:
    pids: set[int] = set()
    folders: set[str] = set()
    for line in sys.stdin:
        verb, what = line.rstrip("\n").split(" ", 1)
        if verb == "process":
            pids.add(int(what))
        elif verb == "ended":
            pids.discard(int(what))
        elif verb == "folder":
            folders.add(what)
        elif verb == "removed":
            folders.discard(what)
    for pid in pids:
        signal_tree(pid, signal.SIGKILL)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
