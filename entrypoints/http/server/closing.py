"""How a connection ends: its request is refused, its client is too slow, others need the room, or the server stops.

`ClosingProtocol` is the half of `ProblemProtocol` (see `protocol.py`) that ends connections, and `State` is what all
connections of a server share.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from heapq import nsmallest
from operator import itemgetter
from typing import Final, cast

from attrs import frozen
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from entrypoints.http.cors import Cors
from entrypoints.http.problem_kinds import OVERLOADED, TOO_SLOW, Kind
from entrypoints.http.replies import raw_problem
from entrypoints.http.request_ids import REQUEST_ID, new_request_id, request_id_of
from entrypoints.http.server.asgi import Scope
from entrypoints.http.server.shedding import LoadShedding

# While the server stops: seconds for which an idle connection stays open, for a request that the client has just sent.
IDLE_CLOSE_TIMEOUT: Final = 0.3
# Seconds for which a connection is read after its last response, so that the client receives the response and no reset.
LINGER: Final = 1.0
# How many connections are closed at once when there are too many: each time, all of them are looked through.
_CLOSED_AT_ONCE: Final = 32


class State(ServerState):
    """The state that the connections of one server share."""

    def __init__(
        self,
        shedding: LoadShedding,
        max_connections: int,
        long_lived: Callable[[], int] = lambda: 0,
        cors: Cors | None = None,
    ) -> None:
        super().__init__()
        # What the pages of other origins are told, also by an answer that Quart has not made.
        self.cors = cors
        # How many of the requests in progress only wait for something to happen. They are bounded elsewhere.
        self.long_lived = long_lived
        self.stopping = False
        self.shedding = shedding
        self.max_connections = max_connections
        self.closed_for_room = 0

    def refresh_date(self) -> None:
        """Set the header Date of all responses. To be called once a second."""
        self.default_headers = [(b"date", formatdate(time.time(), usegmt=True).encode())]

    def open_connections(self) -> list["ClosingProtocol"]:
        return cast(list["ClosingProtocol"], list(self.connections))

    def make_room(self) -> None:
        """Close those connections that have been idle, or have been sending a request, for the longest time.

        The one that waits for the shortest time stays open: its client may just have connected.
        """
        waiting = [(since, each) for each in self.open_connections() if (since := each.waiting_since()) is not None]
        for _, connection in nsmallest(min(_CLOSED_AT_ONCE, len(waiting) - 1), waiting, key=itemgetter(0)):
            connection.leave_to_others()
            self.closed_for_room += 1


class ClosingProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP/1.1 protocol, and the ways to end its connections."""

    server_state: State
    # Since when a request has been arriving, and how much of it has arrived.
    _receiving_since: float | None = None
    _received: int = 0
    _head_complete: bool = False
    _stalled_since: float | None = None
    _lingering: bool = False
    # The problem of the last request in the pipeline. It is sent when those before it have their responses.
    _refusal_in_turn: Kind | None = None
    _handling: asyncio.Task[None] | None = None
    _is_abandoned: bool = False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._abandon()

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
        """End the connection if its request began to arrive before `since`, or the client stopped reading before it."""
        if self._stalled_since is not None and self._stalled_since < since:
            self.transport.abort()
        elif self._receiving_since is not None and self._receiving_since < since:
            self.refuse(TOO_SLOW)

    def waiting_since(self) -> float | None:
        """Return since when the server waits for the client, or None while the client waits for the server."""
        if self.pipeline or self._lingering or (self._in_flight() and not self.cycle.more_body):
            return None
        if self._receiving_since is not None or self.timeout_keep_alive_task is None:
            return self._receiving_since
        return self.timeout_keep_alive_task.when() - self.timeout_keep_alive

    def leave_to_others(self) -> None:
        """Close the connection at once. A client that has begun a request is told that nothing was done."""
        if self._receiving_since is not None and self._received and not self._in_flight():
            self._write_last(OVERLOADED)
        self.transport.close()

    def refuse(self, kind: Kind) -> None:
        """End the connection. Earlier requests get their responses first, and then this problem is sent.

        But if the newest request is complete and waits for its response, that response is the last thing sent.
        """
        if self.transport.is_closing() or self._lingering:
            return
        if self._in_flight() and not self.cycle.more_body:
            self.cycle.keep_alive = False
        elif self.pipeline:
            self._refusal_in_turn = kind
        else:
            self.give_up(kind)

    def give_up(self, kind: Kind) -> None:
        """End the connection now, and cancel its request. Send this problem, unless a response has begun."""
        if self.transport.is_closing() or self._lingering:
            return
        half_answered = self._in_flight() and self.cycle.response_started
        answered_early = self._head_complete and self.cycle.response_complete
        if self._in_flight():
            # To the application it looks as if the client had disconnected: its task is cancelled.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._abandon()
        if half_answered or not self.transport.can_write_eof():
            self.transport.close()
            return
        if not answered_early:
            self._write_last(kind)
        self._linger()

    def close_after_response(self) -> None:
        """Close the connection, whose last response has been written."""
        if self._head_complete and self.transport.can_write_eof():
            self._linger()
        else:
            self.transport.close()

    def _write_last(self, kind: Kind) -> None:
        headers = [*self.server_state.default_headers, (b"connection", b"close")]
        if (cors := self.server_state.cors) is not None:
            headers += [(name.lower().encode(), value.encode()) for name, value in cors.headers(self._headers())]
        self.transport.write(raw_problem(kind, self._request_id(), *headers))

    def _request_id(self) -> str:
        """Return the id of the newest request: the one that its log lines have, or that its head brought."""
        # uvicorn declares the scope as never None, but it is None before the first request begins to arrive.
        scope: Scope | None = cast(Scope | None, self.scope)
        if scope is None:
            return new_request_id()
        given: str | None = scope.get(REQUEST_ID)
        return given or request_id_of(scope["headers"])

    def _headers(self) -> Iterable[tuple[bytes, bytes]]:
        """Return the headers of the newest request, as far as they have arrived."""
        scope: Scope | None = cast(Scope | None, self.scope)
        return [] if scope is None else cast(list[tuple[bytes, bytes]], scope["headers"])

    def _linger(self) -> None:
        """Send no more, and read on for a moment: data that arrives after a close would reset the connection."""
        self.transport.write_eof()
        self._lingering = True
        self.flow.resume_reading()
        self.loop.call_later(LINGER, self.transport.abort)

    def _abandon(self) -> None:
        self._is_abandoned = True
        if self._handling is not None:
            self._handling.cancel()

    def _in_flight(self) -> bool:
        # uvicorn declares the cycle as never None, but it is None before the first request.
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _close_if_idle(self) -> None:
        if not self._in_flight() and not self._received:
            self.transport.close()


@frozen
class TransportOfIncompleteRequest:
    """The transport of a request whose body is still arriving. Closing it does not lose the response."""

    _protocol: ClosingProtocol

    def write(self, data: bytes) -> None:
        self._protocol.transport.write(data)

    def is_closing(self) -> bool:
        return self._protocol.transport.is_closing()

    def close(self) -> None:
        self._protocol.close_after_response()
