from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from attrs import frozen

from entrypoints.health import ServerHealth
from entrypoints.http.bodies import LiveBody, ReadyBody
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.route import Route

CheckHealth = Callable[[], Awaitable[Sequence[ServerHealth]]]


def health_routes(check_health: CheckHealth) -> list[Route]:
    handlers = _Handlers(check_health)
    return [
        Route("GET", "/health/live", handlers.live),
        Route("GET", "/health/ready", handlers.ready),
    ]


@frozen
class _Handlers:
    _check_health: CheckHealth

    async def live(self) -> Reply:
        """Answer 200. No server is asked: a restart of this process would repair none of them."""
        return reply(LiveBody())

    async def ready(self) -> Reply:
        """Say whether orders can be placed here. A replica without a server that is not required stays in the pool."""
        body = ReadyBody.of(await self._check_health())
        return reply(body, HTTPStatus.SERVICE_UNAVAILABLE if body.status == "unavailable" else HTTPStatus.OK)
