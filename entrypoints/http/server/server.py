import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from typing import Final

from attrs import field, frozen
from quart import Quart

from application.ports.telemetry import Telemetry
from application.telemetry import metrics
from entrypoints.http.problem_kinds import STOPPING
from entrypoints.http.server.access_log import AccessLog, logging_to
from entrypoints.http.server.closing import State
from entrypoints.http.server.concurrency_limit import ConcurrencyLimit
from entrypoints.http.server.connection import LeanQuart
from entrypoints.http.server.listening import BACKLOG, accept_all, listen, room_for_connections, url_of
from entrypoints.http.server.protocol import ProblemProtocol, protocol_factory
from entrypoints.http.server.shedding import LoadShedding

# Seconds that cancelled requests have to end.
_FORCED_CLOSE_TIMEOUT: Final = 1.0

_log: Final = logging.getLogger("holdfast.http")


async def serve(  # noqa: PLR0913 - each is a setting, given by name
    app: Quart,
    *,
    host: str,
    port: int,
    shutdown_timeout: float,
    on_started: Callable[[str], None] | None = None,
    stop: asyncio.Event,
    receive_timeout: float = 30.0,
    keep_alive: int = 30,
    concurrency: ConcurrencyLimit | None = None,
    max_connections: int | None = None,
    shared_port: bool = False,
    access_log: AccessLog | None = None,
    long_lived: Callable[[], int] = lambda: 0,
    telemetry: Telemetry | None = None,
) -> None:
    """Serve on all addresses of the host until `stop` is set, and return when the requests in progress are done.

    `on_started` is called with the server's URL as soon as it accepts requests. Port 0 takes a free port. A request
    must arrive within `receive_timeout` seconds, and a client must not stop reading its response for longer than that.
    An idle connection stays open for `keep_alive` seconds after a request. Requests that are still in progress
    `shutdown_timeout` seconds after `stop` get 503. Above `max_connections`, those are closed that have been waiting
    for their client for the longest time; by default there are as many as this process has descriptors for. With
    `shared_port`, other processes of this user may listen on the same port. `long_lived` counts the requests that wait
    for something to happen: the limit of concurrent requests is not for them. Raise `AddressInUse` or `CannotListen`.
    """
    shedding = LoadShedding(concurrency or ConcurrencyLimit())
    cors = app.cors if isinstance(app, LeanQuart) else None
    if telemetry is not None:
        why = "concurrency"
        telemetry.watch(metrics.LOAD_SHED, lambda: shedding.shed_orders, reason=why, request="order")
        telemetry.watch(metrics.LOAD_SHED, lambda: shedding.shed - shedding.shed_orders, reason=why, request="other")
    state = State(shedding, max_connections or room_for_connections(), long_lived, cors)
    state.refresh_date()
    protocol = ProblemProtocol if access_log is None else logging_to(access_log)
    new_connection = protocol_factory(app, state, keep_alive=keep_alive, protocol=protocol)
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        listeners = [stack.enter_context(listener) for listener in await listen(host, port, shared=shared_port)]
        servers = [await loop.create_server(new_connection, sock=each, backlog=BACKLOG) for each in listeners]
        connections = _Connections(state)
        try:
            if on_started is not None:
                on_started(url_of(listeners[0]))
            await connections.watch(stop, receive_timeout=receive_timeout)
            connections.begin_to_stop()
            # No await between these two calls: a client that connects in between would be reset.
            accepted = [connection for listener in listeners for connection in accept_all(listener)]
            _close(servers)
            await connections.take(accepted, new_connection)
            await connections.finish(shutdown_timeout)
        finally:
            _close(servers)
            await connections.abandon()


@frozen
class _Connections:
    """The open connections of a server, and the requests on them."""

    _state: State
    _loop: asyncio.AbstractEventLoop = field(factory=asyncio.get_running_loop, init=False)

    async def watch(self, stop: asyncio.Event, *, receive_timeout: float) -> None:
        """End connections that are too slow, until `stop` is set."""
        pause = min(1.0, receive_timeout / 2)
        while not stop.is_set():
            self._state.refresh_date()
            for connection in self._state.open_connections():
                connection.refuse_overdue(self._loop.time() - receive_timeout)
            self._tell_of_those_closed_for_room()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await stop.wait()

    def _tell_of_those_closed_for_room(self) -> None:
        closed, self._state.closed_for_room = self._state.closed_for_room, 0
        if closed:
            most = self._state.max_connections
            _log.warning("closed %d connections, idle or slow to send, since there are more than %d", closed, most)

    def begin_to_stop(self) -> None:
        self._state.stopping = True
        for connection in self._state.open_connections():
            connection.shutdown()

    async def take(self, accepted: Sequence[socket.socket], new_connection: Callable[[], ProblemProtocol]) -> None:
        await asyncio.gather(*(self._loop.connect_accepted_socket(new_connection, each) for each in accepted))

    async def finish(self, timeout: float) -> None:  # noqa: ASYNC109 - requests left after it are refused, not cancelled
        if await self._done_within(timeout):
            return
        connections = self._state.open_connections()
        _log.warning("closed %d busy connections after %s s", len(connections), timeout)
        for connection in connections:
            connection.give_up(STOPPING)
        await self._done_within(_FORCED_CLOSE_TIMEOUT)

    async def abandon(self) -> None:
        """Abort the connections that are still open, and cancel their requests."""
        for connection in self._state.open_connections():
            connection.transport.abort()
        if not await self._done_within(_FORCED_CLOSE_TIMEOUT):
            for task in self._state.tasks:
                task.cancel()

    async def _done_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while self._state.connections or self._state.tasks:  # noqa: ASYNC110 - uvicorn's plain sets
                    await asyncio.sleep(0.02)
        except TimeoutError:
            return False
        return True


def _close(servers: Iterable[asyncio.Server]) -> None:
    for server in servers:
        server.close()
