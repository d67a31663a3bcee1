"""`holdfast doctor`: whether every server works."""

import os
from typing import TYPE_CHECKING

from entrypoints.aliases import aliases_in
from entrypoints.cli.common import CommandError, Data, command_settings, with_engine
from entrypoints.cli.output import tell
from entrypoints.read_settings import environment_and_file

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


def doctor(*, data: Data = None) -> None:
    settings = command_settings(data=data)
    aliases = aliases_in(environment_and_file(os.environ))
    named = {
        "database": settings.database_url or str(settings.database_file),
        "cache": settings.redis_url,
        "broker": settings.amqp_url,
    }

    from entrypoints.doctor import (
        broker_warnings,
        cache_warnings,
        examine,
        queue_problems,
        unconsumed_queues,
        warnings,
    )
    from entrypoints.identity_provider import provider_problem

    async def work(engine: "AsyncEngine") -> None:
        servers = list(await examine(settings, engine))
        for server in servers:
            state = "works" if server.works else "FAILS"
            tell(f"{server.name:9} {state}  {server.version or server.problem}  {named[server.name]}".rstrip())
        for alias, name in aliases.items():
            tell(f"setting   {alias} is taken for {name}")
        problems = await queue_problems(settings)
        for problem in problems:
            tell(f"queues    FAILS  {problem}")
        unknown = await provider_problem(settings)
        if unknown is not None:
            tell(f"tokens    FAILS  {unknown}")
        for warning in [
            *await warnings(settings, engine),
            *await cache_warnings(settings),
            *await unconsumed_queues(settings),
            *await broker_warnings(settings),
        ]:
            tell(f"warning   {warning}")
        if problems or unknown is not None or not all(server.works for server in servers):
            raise CommandError("not every server works; see above")

    with_engine(settings, work)
