from http import HTTPStatus

from attrs import frozen

from entrypoints.http import examples
from entrypoints.http.bodies.health import LiveBody, ReadyBody
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.route import Open, Route
from entrypoints.readiness import CheckReadiness


def health_routes(check_readiness: CheckReadiness) -> list[Route]:
    handlers = _Handlers(check_readiness)
    return [
        Route(
            "GET",
            "/health/live",
            Open.TO_ALL,
            handlers.live,
            summary="Say whether the process lives",
            answers={HTTPStatus.OK: examples.LIVE},
        ),
        Route(
            "GET",
            "/health/ready",
            Open.TO_ALL,
            handlers.ready,
            summary="Say whether orders can be placed",
            answers={HTTPStatus.OK: examples.READY, HTTPStatus.SERVICE_UNAVAILABLE: examples.READY},
        ),
    ]


@frozen
class _Handlers:
    _check_readiness: CheckReadiness

    async def live(self) -> Reply:
        """Answer 200. No server is asked: a restart of this process would repair none of them."""
        return reply(LiveBody())

    async def ready(self) -> Reply:
        """Say whether orders can be placed here. A replica that can take them stays in the pool without the rest."""
        readiness = await self._check_readiness()
        return reply(ReadyBody.of(readiness), HTTPStatus.OK if readiness.orders else HTTPStatus.SERVICE_UNAVAILABLE)
