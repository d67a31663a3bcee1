import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from attrs import evolve
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.health import server_version as database_version
from adapters.sql.schema import schema_problem
from application.errors import Unavailable
from entrypoints.health import ServerHealth
from entrypoints.settings import Settings

# Seconds that a server has to answer in.
_TIMEOUT: Final = 3.0


async def examine(settings: Settings, engine: AsyncEngine) -> Sequence[ServerHealth]:
    """Ask every server how it is, all at once. Never raise."""

    async def database() -> str:
        version = await database_version(engine)
        problem = await schema_problem(engine)
        if problem is not None:
            raise Unavailable(problem)
        return version

    async def cache() -> str:
        if not settings.redis_url:
            return "in this process"
        # A tenth of a second, which nobody without Redis has to wait for. The same goes for RabbitMQ.
        from adapters.redis.health import server_version  # noqa: PLC0415

        return await server_version(settings.redis_url)

    async def broker() -> str:
        if not settings.amqp_url:
            return "in this process"
        from adapters.rabbitmq.health import server_version  # noqa: PLC0415 - as for Redis

        return await server_version(settings.amqp_url)

    servers = await asyncio.gather(_ask("database", database), _ask("cache", cache), _ask("broker", broker))
    # Orders are taken without the cache, and without the broker, only slower and processed later; where they can be
    # queued, without the database as well, as long as there is the broker.
    needed = {"database"} if settings.intake == "direct" else {"database", "broker"}
    works = settings.intake != "direct" and any(server.works for server in servers if server.name in needed)
    return [evolve(server, required=server.name in needed and not works) for server in servers]


async def _ask(name: str, version: Callable[[], Awaitable[str]]) -> ServerHealth:
    try:
        async with asyncio.timeout(_TIMEOUT):
            return ServerHealth(name=name, version=await version(), problem=None)
    except TimeoutError:
        problem = f"gave no answer within {_TIMEOUT:g} s; is it overloaded, or behind a firewall?"
    except Unavailable as error:
        problem = str(error)
    return ServerHealth(name=name, version=None, problem=problem)
