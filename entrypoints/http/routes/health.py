from http import HTTPStatus

from attrs import frozen
from quart import Blueprint

from entrypoints.http.bodies import LiveBody, ReadyBody
from entrypoints.http.replies import Reply, reply
from entrypoints.http.services import Services


def health_blueprint(services: Services) -> Blueprint:
    handlers = _Handlers(services)
    blueprint = Blueprint("health", __name__, url_prefix="/health")
    blueprint.add_url_rule("/live", view_func=handlers.live, methods=["GET"])
    blueprint.add_url_rule("/ready", view_func=handlers.ready, methods=["GET"])
    return blueprint


@frozen
class _Handlers:
    _services: Services

    async def live(self) -> Reply:
        """The process answers. It asks no server: restarting this process would mend none of them."""
        return reply(LiveBody())

    async def ready(self) -> Reply:
        """Whether orders can be taken here. A replica that only lost a server it can do without stays in the pool."""
        servers = await self._services.check_health()
        body = ReadyBody.of(servers)
        return reply(body, HTTPStatus.SERVICE_UNAVAILABLE if body.status == "unavailable" else HTTPStatus.OK)
