"""The ceiling: handlers that do nothing, on the same server as the real ones. `python -m bench.ceiling PORT`."""

import asyncio
import sys
from datetime import timedelta
from functools import partial
from typing import Final

import msgspec
import uvloop
from quart import Quart, Response, request

from entrypoints.http.bodies.orders import PlaceOrderBody
from entrypoints.http.server.server import serve
from entrypoints.programs.running import run_until_signalled

_PLACE_ORDER: Final = msgspec.json.Decoder(PlaceOrderBody)
_STOPPING_SECONDS: Final = 2.0


class _Answer(msgspec.Struct):
    user_id: int | str
    status: str = "PENDING"


def create_empty_app() -> Quart:
    """Plain Quart: the least that any handler costs."""
    app = Quart(__name__, static_folder=None, template_folder=None)

    @app.post("/orders")
    async def place() -> Response:
        body = _PLACE_ORDER.decode(await request.get_data())
        return Response(msgspec.json.encode(_Answer(body.user_id)), 201, content_type="application/json")

    @app.get("/orders")
    @app.get("/orders/<order_id>")
    async def get(order_id: str = "") -> Response:  # noqa: ARG001 - the route's
        return Response(msgspec.json.encode(_Answer(1)), content_type="application/json")

    @app.get("/health/ready")
    async def ready() -> Response:
        return Response(b"{}", content_type="application/json")

    return app


async def _serve(port: int, stop: asyncio.Event) -> None:
    await serve(create_empty_app(), host="127.0.0.1", port=port, shutdown_timeout=_STOPPING_SECONDS, stop=stop)


def main() -> None:
    program = partial(_serve, int(sys.argv[1]))
    uvloop.run(run_until_signalled(program, graceful_timeout=timedelta(seconds=_STOPPING_SECONDS)))


if __name__ == "__main__":
    main()
