"""All internals of Quart that are used: how Quart receives a request.

Quart starts two tasks for each request. One of them reads the body and waits for the client to disconnect. Here the
handler reads the body itself, in the server's own task, which the server cancels when the client disconnects
(`protocol.py`). Each part saves CPU for each request, of which an empty handler of Quart takes 100 µs:

- one task, and a body that is read when it is awaited: 15 µs
- no names of blueprints: 8 µs
- a request made without Werkzeug's checks: half of the saving that `headers.py` states

`pyproject.toml` bounds Quart's version, and `tests/unit/entrypoints/test_quart_internals.py` names what has changed.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator
from functools import cached_property, partial
from typing import Any, Final, cast

from quart import Quart, Request
from quart.asgi import ASGIHTTPConnection
from quart.sessions import NullSession, SessionInterface
from quart.typing import ResponseTypes
from quart.wrappers.base import BaseRequestWebsocket
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.routing import MapAdapter

from application.execution.working_for import TracedId, WorkingFor
from application.ports.telemetry import NoTelemetry
from entrypoints.http.cors import Cors
from entrypoints.http.headers import PlainHeaders
from entrypoints.http.measuring import MeasureRequests
from entrypoints.http.prefix import keep, split
from entrypoints.http.request_ids import REQUEST_ID, request_id_of
from entrypoints.http.server.asgi import Receive, Scope, Send
from entrypoints.http.server.routing import BoundRules, FixedRules, fixed_rules
from entrypoints.http.tracing import TraceRequests


class Body:
    """The body of a request, received when it is first awaited."""

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        self._max_length = max_content_length
        self._expected_length = expected_content_length
        self._whole: bytes | None = None
        self.receive: Receive | None = None

    def __await__(self) -> Generator[Any, None, bytes]:
        return self._read().__await__()

    async def _read(self) -> bytes:
        if self._whole is None:
            self._check(self._expected_length or 0)
            self._whole = await self._receive()
        return self._whole

    async def parts(self, most: int) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives, up to `most` bytes. Raise `RequestEntityTooLarge` above that."""
        self._max_length = most
        self._check(self._expected_length or 0)
        length, more = 0, self.receive is not None
        while more:
            message = await self._message()
            length += len(message["body"])
            self._check(length)
            more = message["more_body"]
            if message["body"]:
                yield message["body"]

    async def _receive(self) -> bytes:
        whole = b""
        more = self.receive is not None
        while more:
            message = await self._message()
            whole += message["body"]
            self._check(len(whole))
            more = message["more_body"]
        return whole

    async def _message(self) -> Any:
        message = await cast(Receive, self.receive)()
        if message["type"] != "http.request":
            # The client disconnected, so no response is needed.
            raise asyncio.CancelledError
        return message

    def _check(self, length: int) -> None:
        if self._max_length is not None and length > self._max_length:
            raise RequestEntityTooLarge


class LeanRequest(Request):
    """A request with a `Body`."""

    body: Body  # type: ignore[assignment]
    body_class = Body  # type: ignore[assignment]

    @property
    def blueprints(self) -> list[str]:
        """Return no names: the app has no blueprints. Quart's own look-up runs several times a request, and is slow."""
        return []


class Connection(ASGIHTTPConnection):
    """One request and its response."""

    app: "LeanQuart"
    scope: Scope  # type: ignore[assignment]  # Quart's own type is closed
    _request_id: str
    _request: LeanRequest
    _begun: float
    _status: int | None = None

    async def __call__(self, receive: Receive, send: Send) -> None:
        prefix, path = split(self.scope["raw_path"].decode("ascii"))
        self.scope["path"] = _path_as_sent(path)
        keep(self.scope, prefix)
        request = self._create_request_from_scope(send)
        request.body.receive = receive
        measure, trace = self.app.measure, self.app.trace
        self._request, self._begun = request, asyncio.get_running_loop().time()
        self._request_id = request_id_of(self.scope["headers"])
        span = None if trace is None else trace.begin(self.scope["headers"])
        if span is not None:
            self._request_id = TracedId.of(self._request_id, span.traceparent)
        # A response that does not come from here names the request, too (`closing.py`).
        self.scope[REQUEST_ID] = self._request_id
        measure.in_flight += 1
        try:
            with WorkingFor((self._request_id,)):
                await self.handle_request(request, send)
        finally:
            measure.in_flight -= 1
            if trace is not None and span is not None:
                trace.end(span, request, self._status)

    async def _send_response(self, send: Send, response: ResponseTypes) -> None:
        self._status = response.status_code
        self.app.measure(self._request, self._status, asyncio.get_running_loop().time() - self._begun)
        response.headers.add(REQUEST_ID, self._request_id)
        if self.app.cors is not None:
            response.headers.extend(self.app.cors.headers(self.scope["headers"]))
        await super()._send_response(send, response)

    def _create_request_from_scope(self, send: Send) -> LeanRequest:
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
            cast(Any, scope),
            max_content_length=self.app.config["MAX_CONTENT_LENGTH"],
            body_timeout=self.app.config["BODY_TIMEOUT"],
            send_push_promise=partial(self._send_push_promise, send),
        )


def _path_as_sent(path: str) -> str:
    """Return the path that routes are compared with. Nothing is decoded, so each resource has one address only.

    Werkzeug takes several slashes at the beginning for one. No route has `%2F`, which stands for them here.
    """
    return f"/%2F{path[2:]}" if path.startswith("//") else path


class _NoSessions(SessionInterface):
    """Opens none: the API keeps nothing in a cookie, and the console seals its own (`console/sessions.py`)."""

    async def open_session(self, app: Quart, request: BaseRequestWebsocket) -> NullSession:  # noqa: ARG002 - Quart's signature
        return _NO_SESSION


_NO_SESSION: Final = NullSession()


class LeanQuart(Quart):
    """Quart, with all its hooks and signals, on connections of this kind; without sessions."""

    asgi_http_class = Connection
    request_class = LeanRequest
    cors: Cors | None = None
    measure = MeasureRequests(NoTelemetry())
    # None if nothing is traced.
    trace: TraceRequests | None = None
    session_interface = _NoSessions()  # type: ignore[assignment]  # Quart types it as its own default

    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter | None:
        """Bind the rules to a request; without one, as Quart does."""
        if request is None:
            return super().create_url_adapter(request)
        return BoundRules(self.url_map, self._fixed_rules, request)

    @cached_property
    def _fixed_rules(self) -> FixedRules:
        # Quart lets nobody add a route after the first request.
        return fixed_rules(self.url_map)
