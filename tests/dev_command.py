"""The commands of `./dev` that are made of tests: their arguments and their exit codes."""

import runpy
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import pytest
from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

from entrypoints.cli.common import Whole
from tests.servers.process import hear_signals

Count = Annotated[Whole, Parameter(validator=Number(gte=1))]


class WrongArguments(Exception):
    """The arguments are wrong; the message says what to write."""


def run_command(name: str, command: Callable[..., bool], *, about: str) -> NoReturn:
    """Run `./dev NAME`, and exit: 0 for True, 1 for False, 2 for wrong arguments."""
    # cyclopts would keep the line breaks within a paragraph.
    paragraphs = "\n\n".join(" ".join(paragraph.split()) for paragraph in about.split("\n\n"))
    app = App(
        name=f"./dev {name}",
        help=paragraphs,
        version_flags=[],
        help_format="plaintext",
        result_action="return_value",
    )
    app.default(command)
    hear_signals()
    try:
        well = app(sys.argv[1:], exit_on_error=False, print_error=False)
    except (CycloptsError, WrongArguments) as error:
        sys.stderr.writelines(f"{name}: {line}\n" for line in str(error).splitlines())
        sys.exit(2)
    # None: the help was shown.
    sys.exit(1 if well is False else 0)


def run_here(
    module: str, *arguments: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[object, str]:
    """As `python -m MODULE ARGUMENTS`, in this process, which has imported most of it. Return status and output."""
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    with pytest.raises(SystemExit) as exited:
        runpy.run_module(module, run_name="__main__")
    printed = capsys.readouterr()
    return exited.value.code, printed.out + printed.err
