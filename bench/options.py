import os
import platform
from pathlib import Path
from typing import Final

from attrs import frozen

from bench.result import Machine
from bench.shops import Grown, Say

MESSAGES: Final = 1_000_000
_BYTES_PER_GB: Final = 10**9


@frozen(kw_only=True)
class Options:
    """The command-line options of every scenario."""

    seconds: float
    """How long each build is under load, in all its rounds."""
    grown: Grown | None = None
    """What our shop begins with, where that is not little."""
    messages: int = MESSAGES
    """How many wait for a worker."""
    say: Say

    @property
    def orders(self) -> int:
        """How many there are before."""
        return self.grown.orders if self.grown else 0


def machine(versions: dict[str, str]) -> Machine:
    """The one that this runs on, with the versions of the servers that were used."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _BYTES_PER_GB
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return Machine(os.cpu_count() or 1, round(memory, 1), _system(), {"Python": python, **versions})


def _system() -> str:
    release = Path("/etc/os-release")
    said = release.read_text() if release.exists() else ""
    names = [line.partition("=")[2].strip('"') for line in said.splitlines() if line.startswith("PRETTY_NAME=")]
    return f"{names[0] if names else platform.system()}, {platform.machine()}"
