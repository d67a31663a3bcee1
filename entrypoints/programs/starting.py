"""What every program does before it works."""

from contextlib import suppress

import structlog

from adapters.sql.schema import schema_problem
from application.errors import Unavailable
from entrypoints.container import Container
from entrypoints.database import NotReady


async def tell_of_servers(container: Container) -> None:
    """Log of each server whether it works."""
    log = structlog.get_logger("holdfast")
    for server in await container.check_health()():
        if server.works:
            log.info("server works", server=server.name, version=server.version)
        else:
            log.warning("server does not work", server=server.name, problem=server.problem)


async def expect_schema(container: Container) -> None:
    """Refuse to run on tables of another release; a database out of reach is waited for. Raise `NotReady`."""
    with suppress(Unavailable):
        await demand_schema(container)


async def demand_schema(container: Container) -> None:
    """Refuse to work on tables of another release. Raise `NotReady`, and `Unavailable` without a database."""
    problem = await schema_problem(container.engine())
    if problem is not None:
        raise NotReady(problem)


async def expect_provider(container: Container) -> None:
    """Find out now, and not with the first charge, that the provider can't be used. Raise `Trouble`."""
    await container.provider().ledger.charges(after=None, limit=1)
