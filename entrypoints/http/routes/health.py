from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from attrs import frozen
from quart import Blueprint

from entrypoints.health import ServerHealth
from entrypoints.http.bodies import LiveBody, ReadyBody
from entrypoints.http.replies import Reply, reply

CheckHealth = Callable[[], Awaitable[Sequence[ServerHealth]]]


def health_blueprint(check_health: CheckHealth) -> Blueprint:
    handlers = _Handlers(check_health)
    blueprint = Blueprint("health", __name__, url_prefix="/health")
    blueprint.add_url_rule("/live", view_func=handlers.live, methods=["GET"])
    blueprint.add_url_rule("/ready", view_func=handlers.ready, methods=["GET"])
    return blueprint


@frozen
class _Handlers:
    _check_health: CheckHealth

    async def live(self) -> Reply:
        """The process answers. No server is checked, because restarting this process would repair none of them."""
        return reply(LiveBody())

    async def ready(self) -> Reply:
        """Whether this process can take orders. A replica that lost a server it can do without stays in the pool."""
        body = ReadyBody.of(await self._check_health())
        return reply(body, HTTPStatus.SERVICE_UNAVAILABLE if body.status == "unavailable" else HTTPStatus.OK)
