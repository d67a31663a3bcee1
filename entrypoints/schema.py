"""Whether the tables are those of this version."""

from contextlib import suppress

from adapters.sql.schema import schema_problem
from application.errors import Unavailable
from entrypoints.container import Container
from entrypoints.database import NotReady


async def demand_schema(container: Container) -> None:
    """Refuse to work on tables of another release. Raise `NotReady`, and `Unavailable` without a database."""
    problem = await schema_problem(container.engine())
    if problem is not None:
        raise NotReady(problem)


async def expect_schema(container: Container) -> None:
    """As `demand_schema`, but a database out of reach is waited for."""
    with suppress(Unavailable):
        await demand_schema(container)
