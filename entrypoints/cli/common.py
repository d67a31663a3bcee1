"""What the commands of the command line share."""

import os
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Final

import uvloop
from cyclopts import Parameter, Token
from cyclopts.validators import Number

from adapters.sql.schema import schema_problem
from entrypoints.connections import NotReady, open_container
from entrypoints.container import Container
from entrypoints.logs import configure_logging
from entrypoints.settings import Settings, environment_and_file, read_settings

# More digits than any number has that can be meant.
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,19}")


def _whole(_: object, tokens: Sequence[Token]) -> int:
    """What cyclopts rounds, it takes for an int as well: nobody wants a price of 12.50 to be 12."""
    text = tokens[0].value
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is no whole number; write it in digits, as in 1250")
    return int(text)


Whole = Annotated[int, Parameter(converter=_whole)]
Count = Annotated[Whole, Parameter(validator=Number(gte=1))]
Data = Annotated[Path | None, Parameter(help="Folder of the SQLite file. Default: .holdfast")]


class CommandError(Exception):
    """A command can't be carried out; the message says what to do."""


def command_settings(**given: object) -> Settings:
    settings = read_settings(environment_and_file(os.environ), **given)
    configure_logging(settings)
    return settings


def with_container(settings: Settings, work: Callable[[Container], Awaitable[None]]) -> None:
    async def run() -> None:
        async with open_container(settings) as container:
            await work(container)

    uvloop.run(run())


def with_tables(settings: Settings, work: Callable[[Container], Awaitable[None]]) -> None:
    """As `with_container`, for work that needs the tables of this version. Raise `NotReady` without them."""

    async def checked(container: Container) -> None:
        problem = await schema_problem(container.engine())
        if problem is not None:
            raise NotReady(problem)
        await work(container)

    with_container(settings, checked)
