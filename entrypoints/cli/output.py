"""What a command prints, and what it says on standard error. Without the library of the commands: see `main.py`."""

import errno
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from entrypoints.errors import CannotGoOn
from entrypoints.shown import printable, shown


class OutputLost(CannotGoOn):
    """Standard output can't be written. The message is empty if its reader has closed it, as `| head` does."""

    @classmethod
    def by(cls, error: OSError) -> Self:
        return cls("" if error.errno == errno.EPIPE else f"standard output can't be written: {error.strerror}")


def tell(line: object = "") -> None:
    """Print one line on standard output, whatever is in it. Raise `OutputLost`."""
    with _output():
        print(shown(str(line)))


def write(content: bytes) -> None:
    """Write bytes to standard output as they are, and to a terminal without what steers it. Raise `OutputLost`."""
    with _output():
        if sys.stdout.isatty():
            lines = content.decode(errors="backslashreplace").replace("\r\n", "\n").split("\n")
            sys.stdout.write("\n".join(map(printable, lines)))
        else:
            sys.stdout.buffer.write(content)


def flush_output() -> None:
    """Raise `OutputLost`."""
    # A process may be started without a standard output.
    if sys.stdout is not None:
        with _output():
            sys.stdout.flush()


@contextmanager
def _output() -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        # Python writes what is left when it exits, and would fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputLost.by(error) from None


def say(message: str) -> None:
    """Print each line on standard error, after the name of the program, as `grep` and others do."""
    # `print` would write to standard output if there were no standard error.
    if sys.stderr is not None:
        for line in message.splitlines():
            print(f"holdfast: {shown(line)}", file=sys.stderr)


def show_traceback(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    """Show it as Python does, but without secrets and control characters: its message may come from outside."""
    import traceback

    if sys.stderr is not None:
        for line in "".join(traceback.format_exception(kind, error, at)).splitlines():
            print(shown(line), file=sys.stderr)
