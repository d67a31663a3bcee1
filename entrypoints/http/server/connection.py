"""How a request comes to Quart, and its answer goes out, at half of what it costs otherwise.

Quart starts two tasks for each request, one of which reads the body and waits for the client to go away, and takes
headers to pieces that nobody asks for. Here the body is read by whoever wants it, in the server's own task, which the
server itself cancels when the client goes away (`protocol.py`).
"""

import asyncio
from collections.abc import Generator
from functools import partial
from typing import Any, Final, cast

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable
from quart import Quart, Request
from quart.asgi import ASGIHTTPConnection
from quart.sessions import NullSession, SessionInterface
from quart.typing import ResponseTypes
from quart.wrappers.base import BaseRequestWebsocket
from werkzeug.exceptions import RequestEntityTooLarge

from entrypoints.http.headers import PlainHeaders
from entrypoints.http.replies import Reply


class Body:
    """The body of a request, received when it is first awaited."""

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        self._max_length = max_content_length
        self._expected_length = expected_content_length
        self._whole: bytes | None = None
        self.receive: ASGIReceiveCallable | None = None

    def __await__(self) -> Generator[Any, None, bytes]:
        return self._read().__await__()

    async def _read(self) -> bytes:
        if self._whole is None:
            self._check(self._expected_length or 0)
            self._whole = await self._receive()
        return self._whole

    async def _receive(self) -> bytes:
        whole = b""
        more = self.receive is not None
        while more:
            message = await cast(ASGIReceiveCallable, self.receive)()
            if message["type"] != "http.request":
                # The client went away: nobody waits for what would come of this.
                raise asyncio.CancelledError
            whole += message["body"]
            self._check(len(whole))
            more = message["more_body"]
        return whole

    def _check(self, length: int) -> None:
        if self._max_length is not None and length > self._max_length:
            raise RequestEntityTooLarge


class LeanRequest(Request):
    """A request with a `Body`."""

    body: Body  # type: ignore[assignment]
    body_class = Body  # type: ignore[assignment]

    @property
    def blueprints(self) -> list[str]:
        """None, since none has hooks of its own. Quart looks for them several times a request, and slowly."""
        return []


class Connection(ASGIHTTPConnection):
    """One request and its answer."""

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        request = self._create_request_from_scope(send)
        request.body.receive = receive
        await self.handle_request(request, send)

    def _create_request_from_scope(self, send: ASGISendCallable) -> LeanRequest:
        scope = self.scope
        root_path = scope.get("root_path", "")
        if root_path or scope["http_version"] < "1.1" or not scope["path"].startswith("/"):
            return cast(LeanRequest, super()._create_request_from_scope(send))
        client = scope.get("client") or ("<local>", 0)
        return LeanRequest(
            scope["method"],
            scope["scheme"],
            scope["path"],
            scope["query_string"],
            PlainHeaders(
                [
                    ("Remote-Addr", client[0]),
                    *((name.decode("latin1").title(), value.decode("latin1")) for name, value in scope["headers"]),
                ]
            ),
            root_path,
            scope["http_version"],
            scope,
            max_content_length=self.app.config["MAX_CONTENT_LENGTH"],
            body_timeout=self.app.config["BODY_TIMEOUT"],
            send_push_promise=partial(self._send_push_promise, send),
        )

    async def _send_response(self, send: ASGISendCallable, response: ResponseTypes) -> None:
        if not isinstance(response, Reply):
            await super()._send_response(send, response)
            return
        headers = [(name.lower().encode(), value.encode()) for name, value in response.headers]
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": response.body, "more_body": False})


class _NoSessions(SessionInterface):
    """For requests that stand alone: nothing is looked for in their cookies."""

    async def open_session(self, app: Quart, request: BaseRequestWebsocket) -> NullSession:  # noqa: ARG002 - Quart's signature
        return _NO_SESSION


_NO_SESSION: Final = NullSession()


class LeanQuart(Quart):
    """Quart, with all its hooks and signals, on connections of this kind; without sessions."""

    asgi_http_class = Connection
    request_class = LeanRequest
    session_interface = _NoSessions()  # type: ignore[assignment]  # Quart types it as its own default
