import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from attrs import frozen

from application.access.principal import Principal
from application.access.scopes import Scope
from entrypoints.http.replies import Reply, plain_text
from entrypoints.http.routes.route import Route

TEXT: Final = "text/plain"


def metrics_routes(rendered: Callable[[], bytes], content_type: str) -> list[Route]:
    """Return the route to the metrics of this process, for a process that has one port for everything."""
    return [
        Route(
            "GET",
            "/metrics",
            Scope.METRICS_READ,
            _Handlers(rendered, content_type).get,
            summary="Read the metrics of this process, as Prometheus does",
            answers={HTTPStatus.OK: ...},
            produces=(TEXT,),
        )
    ]


@frozen
class _Handlers:
    _rendered: Callable[[], bytes]
    _content_type: str

    async def get(self, by: Principal) -> Reply:  # noqa: ARG002 - the scope of the route is all that is asked
        return plain_text(await asyncio.to_thread(self._rendered), self._content_type)
