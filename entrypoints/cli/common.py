"""What the commands share.

The help of every command imports this file, and the use cases with their adapters take half a second to import. So they
are imported when a command runs; type checkers alone import them before.
"""

import os
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter, Token

from entrypoints.errors import CannotGoOn
from entrypoints.read_settings import environment_and_file, read_settings
from entrypoints.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from application.assembly.use_cases import UseCases
    from entrypoints.container import Container

# More digits than any sensible number has.
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,19}")


def _whole(_: object, tokens: Sequence[Token]) -> int:
    """Refuse what cyclopts would round: a price of 12.50 is not 12."""
    text = tokens[0].value
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a whole number; write digits only, as in 1250")
    return int(text)


Whole = Annotated[int, Parameter(converter=_whole)]
Data = Annotated[Path | None, Parameter(help="Folder of the SQLite file. Default: .holdfast")]


# Seconds. Only the person waits who gave the command, and the consistency check reads all that there is.
_LOCK_TIMEOUT: Final = 60.0
_STATEMENT_TIMEOUT: Final = 600.0


class CommandError(CannotGoOn):
    """A command can't be carried out; the message says what to do."""


def command_settings(**given: object) -> Settings:
    return read_settings(environment_and_file(os.environ), **given)


def _configure_logging(settings: Settings) -> None:
    """Only what talks to servers has something to log; the library takes a tenth of the time of a command."""
    if settings.database_url:
        from entrypoints.logs import configure_logging

        configure_logging(settings)


def with_engine(settings: Settings, work: Callable[["AsyncEngine"], Awaitable[None]], *, new: bool = False) -> None:
    """Do work that needs only the database. With `new`, a missing file is made."""
    import asyncio

    from entrypoints.database import open_engine

    _configure_logging(settings)

    async def run() -> None:
        async with open_engine(settings, new=new) as engine:
            await work(engine)

    asyncio.run(run())


def with_use_cases(
    settings: Settings, work: Callable[["UseCases"], Awaitable[None]], *, with_ledger: bool = False
) -> None:
    """As `with_container`, for work that needs nothing else."""
    with_container(settings, lambda container: work(container.use_cases()), with_ledger=with_ledger)


def with_container(
    settings: Settings, work: Callable[["Container"], Awaitable[None]], *, with_ledger: bool = False
) -> None:
    """Do work that needs the tables of this version, and maybe the provider's ledger. Raise `NotReady` without them."""
    import asyncio

    from entrypoints.connections import open_container
    from entrypoints.own_ledger import expect_own_ledger
    from entrypoints.schema import demand_schema

    _configure_logging(settings)

    async def run() -> None:
        async with open_container(
            settings, lock_timeout=_LOCK_TIMEOUT, statement_timeout=_STATEMENT_TIMEOUT
        ) as container:
            await demand_schema(container)
            if with_ledger:
                await expect_own_ledger(container)
            await work(container)

    asyncio.run(run())
