"""What the commands of the command line share."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import uvloop
from cyclopts import Parameter

from adapters.sql.schema import schema_problem
from entrypoints.connections import NotReady, open_container
from entrypoints.container import Container
from entrypoints.logs import configure_logging
from entrypoints.settings import Settings, environment_and_file, read_settings

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
