"""What the commands share.

The help of every command imports this file, and the container takes most of a second to import. So the container is
imported when a command runs; type checkers alone import it before.
"""

import os
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter, Token
from cyclopts.validators import Number

from entrypoints.settings import Settings, environment_and_file, read_settings

if TYPE_CHECKING:
    from entrypoints.container import Container

# More digits than any number has that can be meant.
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,19}")


def _whole(_: object, tokens: Sequence[Token]) -> int:
    """Refuse what cyclopts would round: a price of 12.50 is not 12."""
    text = tokens[0].value
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a whole number; write digits only, as in 1250")
    return int(text)


Whole = Annotated[int, Parameter(converter=_whole)]
Count = Annotated[Whole, Parameter(validator=Number(gte=1))]
Data = Annotated[Path | None, Parameter(help="Folder of the SQLite file. Default: .holdfast")]


class CommandError(Exception):
    """A command can't be carried out; the message says what to do."""


def say(message: str) -> None:
    """Each line on standard error, with the name of the program, as `grep` and others do."""
    for line in message.splitlines():
        print(f"holdfast: {line}", file=sys.stderr)


def command_settings(**given: object) -> Settings:
    from entrypoints.logs import configure_logging

    settings = read_settings(environment_and_file(os.environ), **given)
    configure_logging(settings)
    return settings


def with_container(settings: Settings, work: Callable[["Container"], Awaitable[None]]) -> None:
    import uvloop

    from entrypoints.connections import open_container

    async def run() -> None:
        async with open_container(settings) as container:
            await work(container)

    uvloop.run(run())


def with_tables(settings: Settings, work: Callable[["Container"], Awaitable[None]]) -> None:
    """As `with_container`, for work that needs the tables of this version. Raise `NotReady` without them."""
    from adapters.sql.schema import schema_problem
    from entrypoints.connections import NotReady

    async def checked(container: "Container") -> None:
        problem = await schema_problem(container.engine())
        if problem is not None:
            raise NotReady(problem)
        await work(container)

    with_container(settings, checked)
