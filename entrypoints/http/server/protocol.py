"""How requests are read: uvicorn's HTTP/1.1 protocol on httptools, which only this module and `closing.py` use.

`ProblemProtocol`, a subclass of that protocol, adds what uvicorn lacks: bounds on the size of a request's head and on
the time that a request may take to arrive, problem+json, load shedding, a stop that loses no request, and framing that
leaves no doubt where a request ends. Two parts are for speed. When the client disconnects, the task of its request is
cancelled (`_handle`). So Quart needs no second task that waits for the disconnect, which saves 15 µs a request (see
`connection.py`). And under overload, a simple request is refused without being parsed (see `shedding.py`).

Most of what is used of uvicorn is not public. So `pyproject.toml` bounds uvicorn's version, and
`tests/unit/entrypoints/test_uvicorn_internals.py` names what has changed.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from quart import Quart
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from entrypoints.http.authentication import as_ipv4
from entrypoints.http.problem_kinds import BAD_PROTOCOL, HEAD_TOO_LARGE, OVERLOADED, Kind
from entrypoints.http.replies import BrokenOff
from entrypoints.http.request_ids import request_id_in, request_id_of
from entrypoints.http.server.asgi import IN_PARTS, App, Receive, Scope, Send
from entrypoints.http.server.closing import ClosingProtocol, State, TransportOfIncompleteRequest
from entrypoints.http.server.framing import MAX_HEAD, head_without_upgrade, is_rtsp, problem_of_head
from entrypoints.http.server.one_write import OneWrite
from entrypoints.http.server.shedding import begins_order, is_exempt, is_plain, places_order

_log: Final = logging.getLogger("holdfast.http")

# The rest of a refused request is still read, up to this size, so that the client receives the response.
MAX_REQUEST: Final = 16 * 1024 * 1024


class _Refused(Exception):
    """Stops the parser; the connection is then refused."""


class ProblemProtocol(ClosingProtocol):
    """Uvicorn's HTTP/1.1 protocol with bounds on requests, and with a problem+json response if one can't be parsed.

    Uvicorn bounds neither the head of a request nor the time that a request may take to arrive.
    """

    _refusal: Kind = BAD_PROTOCOL
    # The data in which a head is arriving, and maybe more.
    _around_head: bytes = b""
    # The parser has stopped at a head with Upgrade.
    _at_upgrade: bool = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        if self.client is not None:
            self.client = as_ipv4(self.client[0]), self.client[1]
        self._receiving_since = self.loop.time()
        if self.server_state.stopping:
            self.shutdown()
        elif len(self.connections) > self.server_state.max_connections:
            self.server_state.make_room()

    def data_received(self, data: bytes) -> None:
        if self._receiving_since is None:
            if self._is_idle() and self._must_shed() and is_plain(data):
                self._shed_unparsed(data)
                return
            self._receiving_since = self.loop.time()
        self._around_head += data
        head_was_complete = self._head_complete
        self._received += len(data)
        if self._head_complete and self.scope.get(IN_PARTS) and not self.cycle.response_complete:
            # A file may be large, and its client slow: what counts is that something comes.
            self._receiving_since, self._received = self.loop.time(), 0
        if not self._lingering:
            self._parse(data)
        if self._head_complete or self._receiving_since is None:
            self._around_head = b""
        if self._received > MAX_REQUEST:
            self.transport.abort()
        elif not head_was_complete and not self._head_complete and self._received > MAX_HEAD:
            # The parser calls no callback before a header is complete, so an endless header is found here.
            self.refuse(HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        if self._lingering or self.transport.is_closing():
            # The client was told that this connection ends, and does not expect that this request is done.
            raise _Refused
        super().on_message_begin()
        self._head_complete = False
        if self._receiving_since is None:
            # This request has begun in the same data in which the previous request ended.
            self._receiving_since = self.loop.time()

    def on_headers_complete(self) -> None:
        version = self.parser.get_http_version()
        if (problem := problem_of_head(version, self.url, self.headers)) is not None:
            self._refusal = problem
            raise _Refused
        if is_rtsp(self.parser.get_method(), self.url, self._around_head):
            raise _Refused
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise _Refused
            self._at_upgrade = True
            return
        if version == "1.0":
            # RFC 9110, section 10.1.1: a client of HTTP/1.0 does not know the response 100.
            self.expect_100_continue = False
        super().on_headers_complete()
        # The parser adds the fields of a trailer here. They must not be taken for headers (RFC 9110, section 6.5.1).
        self.headers = []
        self._head_complete = True
        if self.server_state.stopping:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        if self._at_upgrade:
            return
        super().on_message_complete()
        self._receiving_since = None
        self._received = 0
        self._head_complete = False
        if self.headers and not self.parser.should_keep_alive():
            # The parser reads no further request on this connection, because of a field in the trailer.
            self.cycle.keep_alive = False
            if self.cycle.response_complete:
                self.transport.close()
        if self.cycle.response_complete:
            # The response was sent before the whole request had arrived. The rest of the request cancelled the
            # keep-alive timer. Start it again.
            self._restart_keep_alive()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: App) -> None:
        if self._refusal_in_turn is not None and cycle is self.cycle:
            self.give_up(self._refusal_in_turn)
        elif is_exempt(cycle.scope["raw_path"]) or not self._must_shed():
            super()._start_asgi_task(cycle, partial(self._handle, cycle, app))
        else:
            self._shed(cycle)

    def _parse(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        rest = memoryview(data)
        try:
            while rest:
                rest = self._parse_until_upgrade(rest)
        except HttpParserError:
            self.refuse(self._refusal)

    def _parse_until_upgrade(self, data: memoryview) -> memoryview:
        """Parse the data up to the end of a head with Upgrade, and return the rest.

        The parser takes whatever follows such a head for another protocol, also the body. No other protocol is spoken
        here, so the header is ignored (RFC 9110, section 7.8): a new parser gets the same head without it.
        """
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            parser = self.parser
            head = head_without_upgrade(parser.get_method(), self.url, parser.get_http_version(), self.headers)
            self._at_upgrade = False
            self.parser = HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self.parser.feed_data(head)
            return data[upgrade.args[0] :]
        return data[:0]

    def _must_shed(self) -> bool:
        state, in_progress = self.server_state, len(self.tasks)
        # Asked twice for each request. Those that last long are counted only if they can make a difference.
        if in_progress < state.shedding.limit:
            return False
        return state.shedding.is_due(in_progress=in_progress - state.long_lived(), finished=state.total_requests)

    def _shed_unparsed(self, data: bytes) -> None:
        state = self.server_state
        state.total_requests += 1
        state.shedding.note(is_order=begins_order(data))
        self.transport.write(state.shedding.response(request_id_in(data)))
        self._restart_keep_alive()

    def _shed(self, cycle: RequestResponseCycle) -> None:
        shedding = self.server_state.shedding
        shedding.note(is_order=places_order(cycle.scope["method"], cycle.scope["raw_path"]))
        if cycle.keep_alive and not cycle.waiting_for_100_continue:
            request_id = request_id_of(cycle.scope["headers"])
            self.transport.write(shedding.response_to(cycle.scope["method"], request_id))
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
        if cycle.more_body:
            cycle.transport = cast(asyncio.Transport, TransportOfIncompleteRequest(self))
            if cycle.waiting_for_100_continue:
                send = partial(self._send_to_waiting_client, cycle, send)
        else:
            cycle.transport = cast(asyncio.Transport, OneWrite(self.transport))
        try:
            await app(scope, receive, send)
        except BrokenOff as error:
            _log.warning("a response was broken off: %s", error)
            cycle.disconnected = True
            self.transport.abort()
        except asyncio.CancelledError:
            cycle.disconnected |= self._is_abandoned
            if not cycle.disconnected:
                raise
        finally:
            self._handling = None

    async def _send_to_waiting_client(self, cycle: RequestResponseCycle, send: Send, message: object) -> None:
        """Send a message of the response to a client that may wait for 100 Continue.

        If it gets another response first, it may send the body or the next request. They can't be told apart.
        """
        if cycle.waiting_for_100_continue and cycle.more_body:
            cycle.keep_alive = False
        await send(message)

    def _restart_keep_alive(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _is_idle(self) -> bool:
        return not (self._in_flight() or self.pipeline or self._lingering or self.server_state.stopping)


def protocol_factory(
    app: Quart, state: State, *, keep_alive: int, protocol: Callable[..., ProblemProtocol] = ProblemProtocol
) -> Callable[[], ProblemProtocol]:
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
    return partial(protocol, config, state, {})
