"""The command line: `holdfast --help`.

`holdfast --version` is asked for by scripts. It takes a fifth of the time of a command, since this file imports neither
the library of the commands nor what errors there may be: each is imported when it is needed.
"""

import errno
import gc
import io
import sys
from collections.abc import Sequence
from typing import Final

from entrypoints.cli.output import OutputLost, flush_output, say, show_traceback, tell
from entrypoints.errors import CannotGoOn

# The thresholds of Python's garbage collector: new objects before a collection, and collections of one generation
# before the next older one. With these instead of 700 and 10, a request takes a sixth less time and a command a tenth
# less, because imports make many objects and no garbage. The cost is a few megabytes.
_NEW_OBJECTS: Final = 20_000
_GENERATIONS: Final = 50
# As shells report a process that was ended by Ctrl-C.
_INTERRUPTED: Final = 130
_OUTPUT_LOST: Final = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO}


def main() -> None:
    """Run the command that the arguments name, and exit: 0 done, 1 not done, 2 wrong arguments or settings."""
    gc.set_threshold(_NEW_OBJECTS, _GENERATIONS, _GENERATIONS)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that has no letter for a product's name gets its code, as Python does for standard error.
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.excepthook = show_traceback
    try:
        try:
            _run(sys.argv[1:])
        finally:
            flush_output()
    except OSError as error:
        # The help is printed by a library, which leaves this error as it is.
        if error.errno not in _OUTPUT_LOST:
            raise
        say(str(OutputLost.by(error)))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except Exception as error:
        status, message = _explained(error)
        if message is None:
            raise
        say(message)
        sys.exit(status)


def _run(arguments: Sequence[str]) -> None:
    _expect_text(arguments)
    if arguments == ["--version"]:
        from entrypoints.cli.version import version

        tell(version())
    else:
        from entrypoints.cli.commands import make_app

        make_app()(exit_on_error=False, print_error=False)


def _explained(error: Exception) -> tuple[int, str | None]:
    """The exit status, and a message that is enough without a stack trace; None if a stack trace is needed."""
    from cyclopts import CycloptsError

    from entrypoints.settings import InvalidSettings

    if isinstance(error, CycloptsError | InvalidSettings):
        return 2, str(error)
    refusal = _refusal_in(error)
    return 1, None if refusal is None else str(refusal)


def _expect_text(arguments: Sequence[str]) -> None:
    """Python reads a byte that is not UTF-8 as something that no library can write."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            from entrypoints.settings import InvalidSettings

            raise InvalidSettings(f"the argument {argument!r} is no text in UTF-8") from None


def _refusal_in(error: Exception) -> Exception | None:
    if not isinstance(error, ExceptionGroup):
        return error if _is_refusal(error) else None
    refusals, others = error.split(_is_refusal)
    return None if refusals is None or others is not None else _first(refusals)


def _is_refusal(error: BaseException) -> bool:
    from application.errors import BrokenRow, Trouble
    from domain.errors import DomainError

    return isinstance(error, BrokenRow | CannotGoOn | DomainError | Trouble)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
