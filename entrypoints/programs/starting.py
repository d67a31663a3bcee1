"""The checks that programs make when they start."""

from contextlib import suppress

import structlog

from adapters.sql.schema import schema_problem
from application.errors import Unavailable
from entrypoints.container import Container
from entrypoints.database import NotReady


async def tell_of_servers(container: Container) -> None:
    """Log for each server whether it works."""
    log = structlog.get_logger("holdfast")
    for server in await container.check_health()():
        if server.works:
            log.info("server works", server=server.name, version=server.version)
        else:
            log.warning("server does not work", server=server.name, problem=server.problem)


async def expect_schema(container: Container) -> None:
    """Raise `NotReady` for tables of another release. An unreachable database raises nothing: it is waited for."""
    with suppress(Unavailable):
        await demand_schema(container)


async def demand_schema(container: Container) -> None:
    """Raise `NotReady` for tables of another release, and `Unavailable` without a database."""
    problem = await schema_problem(container.engine())
    if problem is not None:
        raise NotReady(problem)


async def expect_provider(container: Container) -> None:
    """Raise `Trouble` now, and not with the first charge, if the provider can't be used."""
    await container.provider().ledger.charges(after=None, limit=1)
