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

# New objects after which Python looks for garbage among them, and how often it does so before it looks among older
# ones. A request takes a sixth less time with these than with Python's 700 and 10, for some megabytes; and a command
# a tenth, for imports make many objects and no garbage.
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
        # The reader has closed the pipe, as `| head` does. Nothing may be written to it at the exit either.
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
    """The error whose message says everything, so that a stack trace would add nothing; None where one would."""
    if not isinstance(error, ExceptionGroup):
        return error if _is_refusal(error) else None
    refusals, others = error.split(_is_refusal)
    return None if refusals is None or others is not None else _first(refusals)


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, CannotGoOn | DomainError | Trouble)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error
