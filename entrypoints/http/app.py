import asyncio
from http import HTTPStatus
from typing import Any, Final

import structlog
from attrs import define, field
from quart import Quart, Response, request
from quart.routing import QuartMap
from quart.wrappers.base import BaseRequestWebsocket
from werkzeug.routing import MapAdapter

from application.assembly import UseCases
from entrypoints.http.problems import kind_of
from entrypoints.http.replies import UntypedResponse, refuse
from entrypoints.http.routes.health import CheckHealth, health_blueprint
from entrypoints.http.routes.orders import orders_blueprint
from entrypoints.http.routes.products import products_blueprint
from entrypoints.http.server.connection import LeanQuart

_log: Final = structlog.get_logger("holdfast.http")


def create_app(
    use_cases: UseCases, check_health: CheckHealth, *, request_timeout: float = 10.0, max_body: int = 65536
) -> Quart:
    """The HTTP interface over these use cases.

    Every answer comes within `request_timeout` seconds, half of which a client may take to send its body of at most
    `max_body` bytes.
    """
    app = _Api(__name__, static_folder=None, template_folder=None)
    app.request_timeout = request_timeout
    # A path has one spelling. Any other gets 404 and not a redirect with an HTML page.
    app.url_map.merge_slashes = False
    app.response_class = UntypedResponse
    app.config["MAX_CONTENT_LENGTH"] = max_body
    app.config["BODY_TIMEOUT"] = request_timeout / 2
    # With a timeout, Quart would start a task for each response. The server itself handles clients that don't read.
    app.config["RESPONSE_TIMEOUT"] = None
    app.register_error_handler(Exception, _Refusals().answer)
    app.register_blueprint(orders_blueprint(use_cases))
    app.register_blueprint(products_blueprint(use_cases))
    app.register_blueprint(health_blueprint(check_health))
    return app


class _Routes(QuartMap):
    """Routes that are the same for every host, so that the Host header has no influence."""

    def bind_to_request(
        self,
        request: BaseRequestWebsocket,
        subdomain: str | None,  # noqa: ARG002 - Quart's signature
        server_name: str | None,  # noqa: ARG002 - Quart's signature
    ) -> MapAdapter:
        return MapAdapter(self, "localhost", request.root_path, "", request.scheme, request.path, request.method)


class _Api(LeanQuart):
    url_map_class = _Routes
    request_timeout: float

    async def dispatch_request(self, *args: Any, **kwargs: Any) -> Any:
        # Here and not in the handlers, so that none of them can forget it.
        async with asyncio.timeout(self.request_timeout):
            return await super().dispatch_request(*args, **kwargs)


@define(eq=False)
class _Refusals:
    """Turns an exception into a response, and logs those that need attention.

    A missing server fails every request, so each kind of temporary problem is logged at most once a second.
    """

    _logged_at: dict[str, float] = field(factory=dict, init=False)

    async def answer(self, error: Exception) -> Response:
        kind = kind_of(error)
        where = f"{request.method} {request.path}"
        if kind.status is HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("request failed", request=where, exc_info=error)
        elif kind.status is HTTPStatus.SERVICE_UNAVAILABLE:
            now = asyncio.get_running_loop().time()
            if now - self._logged_at.get(kind.code, float("-inf")) >= 1.0:
                self._logged_at[kind.code] = now
                _log.warning("request not served", request=where, code=kind.code, reason=str(error))
        return refuse(error)
