"""The command line: `holdfast --help`."""

import errno
import gc
import io
import sys
from collections.abc import Sequence
from typing import Final

from cyclopts import CycloptsError

from application.errors import BrokenRow, Trouble
from domain.errors import DomainError
from entrypoints.cli.commands import make_app
from entrypoints.cli.common import OutputLost, flush_output, say, show_traceback
from entrypoints.errors import CannotGoOn
from entrypoints.settings import InvalidSettings

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
            _expect_text(sys.argv[1:])
            make_app()(exit_on_error=False, print_error=False)
        finally:
            flush_output()
    except (CycloptsError, InvalidSettings) as error:
        say(str(error))
        sys.exit(2)
    except OSError as error:
        # The help is printed by a library, which leaves this error as it is.
        if error.errno not in _OUTPUT_LOST:
            raise
        say(str(OutputLost.by(error)))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except Exception as error:
        refusal = _refusal_in(error)
        if refusal is None:
            raise
        say(str(refusal))
        sys.exit(1)


def _expect_text(arguments: Sequence[str]) -> None:
    """Python reads a byte that is not UTF-8 as something that no library can write."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise InvalidSettings(f"the argument {argument!r} is no text in UTF-8") from None


def _refusal_in(error: Exception) -> Exception | None:
    """The error whose message is enough without a stack trace; None if a stack trace is needed."""
    if not isinstance(error, ExceptionGroup):
        return error if _is_refusal(error) else None
    refusals, others = error.split(_is_refusal)
    return None if refusals is None or others is not None else _first(refusals)


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, BrokenRow | CannotGoOn | DomainError | Trouble)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
