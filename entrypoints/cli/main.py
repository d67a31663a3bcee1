"""The command line: `holdfast --help`."""

import gc
import os
import sys
from typing import Final

from cyclopts import CycloptsError

from application.errors import Trouble
from domain.errors import DomainError
from entrypoints.cli.commands import make_app
from entrypoints.cli.common import say
from entrypoints.errors import CannotGoOn
from entrypoints.settings import InvalidSettings

# The thresholds of Python's garbage collector: new objects before a collection, and collections of one generation
# before the next older one. With these instead of 700 and 10, a request takes a sixth less time and a command a tenth
# less, because imports make many objects and no garbage. The cost is a few megabytes.
_NEW_OBJECTS: Final = 20_000
_GENERATIONS: Final = 50


def main() -> None:
    """Run the command that the arguments name, and exit: 0 done, 1 not done, 2 wrong arguments or settings."""
    gc.set_threshold(_NEW_OBJECTS, _GENERATIONS, _GENERATIONS)
    try:
        try:
            make_app()(exit_on_error=False, print_error=False)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader has closed the pipe, as `| head` does. Python must not write to it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (CycloptsError, InvalidSettings) as error:
        say(str(error))
        sys.exit(2)
    except Exception as error:
        refusal = _refusal_in(error)
        if refusal is None:
            raise
        say(str(refusal))
        sys.exit(1)


def _refusal_in(error: Exception) -> Exception | None:
    """The error whose message is enough without a stack trace; None if a stack trace is needed."""
    if not isinstance(error, ExceptionGroup):
        return error if _is_refusal(error) else None
    refusals, others = error.split(_is_refusal)
    return None if refusals is None or others is not None else _first(refusals)


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, CannotGoOn | DomainError | Trouble)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
