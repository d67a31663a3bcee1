"""The only module that uses uvicorn: its HTTP/1.1 protocol on httptools, and the state that its connections share.

`ProblemProtocol`, a subclass of that protocol, adds what uvicorn lacks: bounds on the size of a request's head and on
the time that a request may take to arrive, problem+json, load shedding, and a stop that loses no request. Two parts are
for speed. The task of a request is cancelled when the client disconnects (`_handle`), so Quart needs no task that waits
for the disconnect, which saves 15 µs a request, see `connection.py`. And a plain request is shed unparsed, see
`shedding.py`.

Most of these parts are not public. So `pyproject.toml` bounds uvicorn's version, and
`tests/unit/entrypoints/test_uvicorn_internals.py` names what has changed.
"""

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from typing import Final, cast

from quart import Quart
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from entrypoints.http.problems import BAD_PROTOCOL, HEAD_TOO_LARGE, OVERLOADED, TOO_SLOW, Kind
from entrypoints.http.replies import raw_problem
from entrypoints.http.server.asgi import App, Receive, Scope, Send
from entrypoints.http.server.shedding import MAX_HEAD, LoadShedding, is_exempt, is_plain

# The rest of a refused request is still read, up to this size, so that the client receives the response.
MAX_REQUEST: Final = 16 * 1024 * 1024
# While the server stops: seconds for which an idle connection stays open, for a request that the client has just sent.
IDLE_CLOSE_TIMEOUT: Final = 0.3
# Seconds for which a connection is read after its last response, so that the client receives the response and no reset.
LINGER: Final = 1.0


class State(ServerState):
    """The state that the connections of one server share."""

    def __init__(self, shedding: LoadShedding) -> None:
        super().__init__()
        self.stopping = False
        self.shedding = shedding

    def refresh_date(self) -> None:
        """Set the header Date of all responses. To be called once a second."""
        self.default_headers = [(b"date", formatdate(time.time(), usegmt=True).encode())]

    def open_connections(self) -> list["ProblemProtocol"]:
        return cast(list["ProblemProtocol"], list(self.connections))


class _Refused(Exception):
    """Stops the parser; the connection is then refused."""


class ProblemProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1 protocol with bounds on requests, and with a problem+json response if one can't be parsed.

    Uvicorn bounds neither the head of a request nor the time that a request may take to arrive.
    """

    server_state: State
    _receiving_since: float | None = None
    _stalled_since: float | None = None
    _received: int = 0
    _head_complete: bool = False
    _lingering: bool = False
    _refusal: Kind = BAD_PROTOCOL
    _handling: asyncio.Task[None] | None = None
    _is_abandoned: bool = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._receiving_since = self.loop.time()
        if self.server_state.stopping:
            self.shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._abandon()

    def data_received(self, data: bytes) -> None:
        if self._receiving_since is None:
            if self._is_idle() and self._must_shed() and is_plain(data):
                self._shed_unparsed()
                return
            self._receiving_since = self.loop.time()
        head_was_complete = self._head_complete
        self._received += len(data)
        if not self._lingering:
            super().data_received(data)
        if self._received > MAX_REQUEST:
            self.transport.abort()
        elif not head_was_complete and not self._head_complete and self._received > MAX_HEAD:
            # The parser calls no callback before a header is complete, so an endless header is found here.
            self.refuse(HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_complete = False
        if self._receiving_since is None:
            # This request has begun in the same data in which the previous request ended.
            self._receiving_since = self.loop.time()

    def on_headers_complete(self) -> None:
        size, hosts = len(self.url), 0
        for name, value in self.headers:
            size += len(name) + len(value)
            hosts += name == b"host"
        if size > MAX_HEAD:
            self._refusal = HEAD_TOO_LARGE
            raise _Refused
        if hosts != 1 and (hosts or self.parser.get_http_version() != "1.0"):
            # RFC 9112, section 3.2. A proxy in front of this server may have used another Host header than this server.
            raise _Refused
        super().on_headers_complete()
        self._head_complete = True
        if self.server_state.stopping:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._receiving_since = None
        self._received = 0
        self._head_complete = False
        if self.cycle.response_complete:
            # The response was sent before the whole request had arrived. The rest of the request cancelled the
            # keep-alive timer. Start it again.
            self._restart_keep_alive()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: App) -> None:
        if is_exempt(cycle.scope["path"]) or not self._must_shed():
            super()._start_asgi_task(cycle, partial(self._handle, cycle, app))
        else:
            self._shed(cycle)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        self.refuse(self._refusal)

    def shutdown(self) -> None:
        """Close the connection after the current request. If there is none, wait a moment for a request first."""
        if self._in_flight():
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(IDLE_CLOSE_TIMEOUT, self._close_if_idle)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled_since = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled_since = None

    def refuse_overdue(self, since: float) -> None:
        """End the connection if a request has been arriving since before the time `since`.

        Or if the client has not been reading since before then.
        """
        if self._stalled_since is not None and self._stalled_since < since:
            self.transport.abort()
        elif self._receiving_since is not None and self._receiving_since < since:
            self.refuse(TOO_SLOW)

    def refuse(self, kind: Kind) -> None:
        """End the connection with this problem.

        If a complete request is still being answered, its response is finished first, and the problem is not sent.
        """
        if self.transport.is_closing() or self._lingering:
            return
        if self._in_flight() and not self.cycle.more_body:
            # The malformed bytes follow a request whose response is still in progress.
            self.cycle.keep_alive = False
        else:
            self.give_up(kind)

    def give_up(self, kind: Kind) -> None:
        """End the connection now, and cancel its request. Send this problem, unless a response has begun."""
        if self.transport.is_closing() or self._lingering:
            return
        answered = self._in_flight() and self.cycle.response_started
        if self._in_flight():
            # To the application it looks as if the client had disconnected: its task is cancelled.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._abandon()
        if answered or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write(raw_problem(kind, *self.server_state.default_headers, (b"connection", b"close")))
        self.transport.write_eof()
        self._lingering = True
        self.flow.resume_reading()
        self.loop.call_later(LINGER, self.transport.abort)

    def _must_shed(self) -> bool:
        state = self.server_state
        return state.shedding.is_due(in_progress=len(self.tasks), finished=state.total_requests)

    def _shed_unparsed(self) -> None:
        state = self.server_state
        state.total_requests += 1
        state.shedding.shed += 1
        self.transport.write(state.shedding.response)
        self._restart_keep_alive()

    def _shed(self, cycle: RequestResponseCycle) -> None:
        shedding = self.server_state.shedding
        shedding.shed += 1
        if cycle.keep_alive and not cycle.waiting_for_100_continue:
            self.transport.write(shedding.response_to(cycle.scope["method"]))
        else:
            # A client that waits for 100 Continue may now send the body or the next request. They can't be told apart.
            self.give_up(OVERLOADED)
        cycle.response_complete = True
        if self.pipeline:
            # Scheduled, not called: a direct call would recurse once for each shed request in the pipeline.
            self.loop.call_soon(self.on_response_complete)
        else:
            self.on_response_complete()

    async def _handle(self, cycle: RequestResponseCycle, app: App, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for one request. Cancel it if the client disconnects."""
        # If a connection with a pipeline is lost, uvicorn marks only its last request as disconnected.
        cycle.disconnected |= self._is_abandoned
        if cycle.disconnected:
            return
        self._handling = asyncio.current_task()
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            cycle.disconnected |= self._is_abandoned
            if not cycle.disconnected:
                raise
        finally:
            self._handling = None

    def _abandon(self) -> None:
        self._is_abandoned = True
        if self._handling is not None:
            self._handling.cancel()

    def _restart_keep_alive(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _is_idle(self) -> bool:
        return not (self._in_flight() or self.pipeline or self._lingering or self.server_state.stopping)

    def _in_flight(self) -> bool:
        # uvicorn declares the cycle as never None, but it is None before the first request.
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _close_if_idle(self) -> None:
        if not self._in_flight() and not self._received:
            self.transport.close()


def protocol_factory(app: Quart, state: State, *, keep_alive: int) -> Callable[[], ProblemProtocol]:
    """Return a factory of protocols, whose connections stay open for `keep_alive` seconds after a request."""
    config = Config(
        app,
        http=ProblemProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        # The client's address is not used, so the proxy's headers for it need not be trusted.
        proxy_headers=False,
        timeout_keep_alive=keep_alive,
    )
    return partial(ProblemProtocol, config, state, {})
