"""Whether a program on this machine lives: `python -m entrypoints.alive`, or with the names of programs.

For the health checks of containers. Each program notes every few seconds that it lives, in a file that is read here.
It imports nearly nothing, because it is run every few seconds for as long as the container exists. Whether the
servers work is another question, for `holdfast doctor` and `/health/ready`.
"""

import os
import sys
import time
from collections.abc import Sequence
from typing import Final

API: Final = "api"
WORKER: Final = "worker"
RELAY: Final = "relay"
PROGRAMS: Final = (API, WORKER, RELAY)
# Seconds between two notes, and after how many without one a program counts as dead.
NOTE_EVERY: Final = 5.0
DEAD_AFTER: Final = 20.0


def note(program: str) -> None:
    """Write down that this program lives. Raise `OSError`."""
    # By the clock since the machine's start, which nobody can set. The file of another user is not followed.
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
    file = os.open(_file_of(program), flags, 0o644)
    try:
        # Always of the same length, so that no reader finds half of it.
        os.write(file, f"{time.monotonic():020.9f}".encode())
    finally:
        os.close(file)


def forget(program: str) -> None:
    """Remove the note of a program that has ended. Raise `OSError`."""
    os.unlink(_file_of(program))  # noqa: PTH108 - see below


def seconds_since(program: str) -> float | None:
    """Seconds since the last note, or None if there is none from this start of the machine."""
    try:
        with open(_file_of(program), "rb") as file:  # noqa: PTH123 - pathlib takes as long to import as all the rest
            age = time.monotonic() - float(file.read(64))
    except (OSError, ValueError):
        return None
    return age if age >= 0 else None


def main(arguments: Sequence[str]) -> int:
    """Return 0 if all programs that are named live, or without names any."""
    ages = {program: seconds_since(program) for program in arguments or PROGRAMS}
    living = [program for program, age in ages.items() if age is not None and age < DEAD_AFTER]
    for program, age in ages.items():
        if program in living:
            sys.stdout.write(f"{program} lives\n")
        elif arguments or age is not None:
            sys.stdout.write(f"{program} has not been heard of {'yet' if age is None else f'for {age:.0f} s'}\n")
    return 0 if len(living) >= (len(ages) if arguments else 1) else 1


def _file_of(program: str) -> str:
    return f"{os.environ.get('TMPDIR', '/tmp')}/holdfast-{os.getuid()}-{program}.alive"  # noqa: S108 - see `note`


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
