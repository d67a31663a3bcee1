import asyncio
import re
from collections.abc import Sequence
from functools import partial
from typing import Final

from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from entrypoints.http.problems import (
    BAD_PROTOCOL,
    CONTENT_TYPE,
    HEAD_TOO_LARGE,
    OVERLOADED,
    TOO_SLOW,
    Kind,
    headers_of,
    problem_of,
)
from entrypoints.http.replies import SECURITY_HEADERS
from entrypoints.http.server.concurrency_limit import ConcurrencyLimit

# URL and headers together. Browsers and proxies stay far below it.
MAX_HEAD: Final = 32 * 1024
# A request that was refused may still be read to its end, so that the client sees the answer; not for ever.
MAX_REQUEST: Final = 16 * 1024 * 1024
# While the server stops: how long a connection without a request is kept, for a request that is on its way to it.
LAST_CALL: Final = 0.3

# What is asked for here is answered whatever else goes on: whoever looks after the process has to know.
HEALTH: Final = "/health/"
# After an answer that ends the connection: how long it is still read, so that the client sees the answer and no reset.
LINGER: Final = 1.0

# A request whose beginning and end nobody can be in doubt about: its length stands in it once, or not at all.
_HEADER: Final = (
    rb"(?!(?i:expect|upgrade|transfer-encoding|(?:proxy-)?connection(?!: keep-alive\r)|content-length))"
    rb"[!-~][ -~\t]*\r\n"
)
_PLAIN: Final = re.compile(
    rb"(?:GET|POST|PUT|PATCH|DELETE) /(?!health/)[!-~]* HTTP/1\.1\r\n(?!\r)"
    rb"(?:%(header)b)*(?:(?i:content-length): (\d{1,9})\r\n(?:%(header)b)*)?\r\n" % {b"header": _HEADER}
)


class State(ServerState):
    """What the connections of one server share."""

    def __init__(self, concurrency: ConcurrencyLimit) -> None:
        super().__init__()
        self.stopping = False
        self.concurrency = concurrency
        self.shed = 0
        # Written once: to refuse has to be cheap, or refusing is what nobody keeps up with.
        self.refusal = _answer(OVERLOADED)
        self.refusal_head = self.refusal[: self.refusal.index(b"\r\n\r\n") + 4]


class _Refused(Exception):
    """Stops the parser."""


class ProblemProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1, with problem+json for what can't be parsed, and with bounds on what a request may be.

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
    _shed_at: float = float("-inf")

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
            if self._is_idle() and self._has_no_room() and is_plain(data):
                self._shed_whole()
                return
            self._receiving_since = self.loop.time()
        head_was_complete = self._head_complete
        self._received += len(data)
        if not self._lingering:
            super().data_received(data)
        if self._received > MAX_REQUEST:
            self.transport.abort()
        elif not head_was_complete and not self._head_complete and self._received > MAX_HEAD:
            # A header that does not end reaches none of the parser's callbacks.
            self.refuse(HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_complete = False
        if self._receiving_since is None:
            # It came in one piece with the end of the one before it.
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
            # RFC 9112, section 3.2. What stands between here and the client may have chosen another of them.
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
            # The answer came before the end of the request, whose rest has stopped the timer of the idle connection.
            self._await_the_next()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        # Before the application is entered, which is nearly all that a request costs.
        if cycle.scope["path"].startswith(HEALTH) or not self._has_no_room():
            super()._start_asgi_task(cycle, partial(self._handle, cycle, app))
        else:
            self._shed(cycle)

    def timeout_keep_alive_handler(self) -> None:
        # A request that is turned away whole leaves the timer as it is: to set it anew is a good part of its cost.
        idle_until = self._shed_at + self.timeout_keep_alive
        if self.loop.time() < idle_until:
            self.timeout_keep_alive_task = self.loop.call_at(idle_until, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _await_the_next(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _is_idle(self) -> bool:
        return not (self._in_flight() or self.pipeline or self._lingering or self.server_state.stopping)

    def _has_no_room(self) -> bool:
        state = self.server_state
        if len(self.tasks) < state.concurrency.limit:
            return False
        state.concurrency.reached(now=self.loop.time(), answered=state.total_requests - state.shed)
        return len(self.tasks) >= state.concurrency.limit

    def _shed_whole(self) -> None:
        """As below, with a request that came in one piece, which is not even parsed."""
        state = self.server_state
        state.total_requests += 1
        state.shed += 1
        self.transport.write(state.refusal)
        self._shed_at = self.loop.time()

    def _shed(self, cycle: RequestResponseCycle) -> None:
        state = self.server_state
        state.shed += 1
        if cycle.keep_alive and not cycle.waiting_for_100_continue:
            self.transport.write(state.refusal if cycle.scope["method"] != "HEAD" else state.refusal_head)
        else:
            # Whoever was to be asked for the body may send it all the same, or the next request.
            self.give_up(OVERLOADED)
        cycle.response_complete = True
        if self.pipeline:
            # Not at once: those that are turned away behind it would each be a call within a call.
            self.loop.call_soon(self.on_response_complete)
        else:
            self.on_response_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        self.refuse(self._refusal)

    def shutdown(self) -> None:
        """Take no more than the request that is here, or on its way."""
        if self._in_flight():
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(LAST_CALL, self._close_if_idle)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled_since = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled_since = None

    def refuse_overdue(self, since: float) -> None:
        """End it when a request does not arrive, or an answer is not taken, since this time of the loop's clock."""
        if self._stalled_since is not None and self._stalled_since < since:
            self.transport.abort()
        elif self._receiving_since is not None and self._receiving_since < since:
            self.refuse(TOO_SLOW)

    def refuse(self, kind: Kind) -> None:
        """End the connection, and say why, unless an answer is being given already."""
        if self.transport.is_closing() or self._lingering:
            return
        if self._in_flight() and not self.cycle.more_body:
            # What can't be read came behind a request that is being answered, and which is answered yet.
            self.cycle.keep_alive = False
        else:
            self.give_up(kind)

    def give_up(self, kind: Kind) -> None:
        """End the connection now, and with it the request that is being worked on."""
        if self.transport.is_closing() or self._lingering:
            return
        answered = self._in_flight() and self.cycle.response_started
        if self._in_flight():
            # To the application this is a client that went away, and it stops working for it.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._abandon()
        if answered or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write(_answer(kind, [*self.server_state.default_headers, (b"connection", b"close")]))
        self.transport.write_eof()
        self._lingering = True
        self.flow.resume_reading()
        self.loop.call_later(LINGER, self.transport.abort)

    async def _handle(
        self,
        cycle: RequestResponseCycle,
        app: ASGI3Application,
        scope: Scope,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
    ) -> None:
        """Let the application answer, until the client goes away.

        An application that had to find that out by itself would need a task for each request that waits for it.
        """
        # Of requests in a pipeline uvicorn tells the last one only.
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

    def _in_flight(self) -> bool:
        # uvicorn types the cycle as if it were always there.
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _close_if_idle(self) -> None:
        if not self._in_flight() and not self._received:
            self.transport.close()


def is_plain(data: bytes) -> bool:
    """Whether this is one request, whole and alone, which an answer with a body does not surprise.

    The parser is the judge of all others: it costs more than the rest of a refusal.
    """
    head = _PLAIN.match(data, 0, MAX_HEAD)
    return head is not None and len(data) - head.end() == int(head[1] or 0)


def _answer(kind: Kind, headers: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    body = problem_of(kind).encoded()
    own = (("content-type", CONTENT_TYPE), ("content-length", str(len(body))), *SECURITY_HEADERS, *headers_of(kind))
    lines = [*headers, *((name.lower().encode(), value.encode()) for name, value in own)]
    return STATUS_LINE[kind.status] + b"".join(name + b": " + value + b"\r\n" for name, value in lines) + b"\r\n" + body
