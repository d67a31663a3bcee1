import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Final, cast

import uvicorn
from quart import Quart

from entrypoints.errors import CannotGoOn
from entrypoints.http.problems import STOPPING
from entrypoints.http.server.concurrency_limit import ConcurrencyLimit
from entrypoints.http.server.protocol import ProblemProtocol, State

_BACKLOG: Final = 2048
# How long work that was given up may take to end.
_FORCED_CLOSE_TIMEOUT: Final = 1.0

_log: Final = logging.getLogger("holdfast.http")


class CannotListen(CannotGoOn):
    """The server can't be reached under the address that it was given."""


class AddressInUse(CannotListen):
    """Another process listens there."""


class Server(uvicorn.Server):
    """uvicorn in the caller's event loop: it leaves signals and the process alone, and stops when it is told to.

    Stopping, it accepts no connection, answers the requests that have arrived, and gives up after
    `shutdown_timeout` seconds those that are still being worked on: their clients get 503.
    """

    server_state: State

    def __init__(  # noqa: PLR0913 - each is given by name
        self,
        config: uvicorn.Config,
        *,
        stop: asyncio.Event,
        shutdown_timeout: float,
        receive_timeout: float,
        on_started: Callable[[str], None] | None = None,
        concurrency: ConcurrencyLimit | None = None,
    ) -> None:
        super().__init__(config)
        self.server_state = State(concurrency or ConcurrencyLimit())
        self._stop = stop
        self._shutdown_timeout = shutdown_timeout
        self._receive_timeout = receive_timeout
        self._on_started = on_started

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are the caller's."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # The first answer may be given before the main loop has come round to its first tick.
        await self.on_tick(0)
        if self._on_started is not None and sockets:
            self._on_started(_url(sockets[0]))

    async def main_loop(self) -> None:
        pause = min(1.0, self._receive_timeout / 2)
        while not self._stop.is_set() and not await self.on_tick(0):
            self._refuse_overdue()
            try:
                async with asyncio.timeout(pause):
                    await self._stop.wait()
            except TimeoutError:
                continue

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.server_state.stopping = True
        for connection in self._connections():
            connection.shutdown()
        # One after the other without a turn of the loop between: whoever connects between the two is reset.
        waiting = _accept_all(sockets or [])
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.connect_accepted_socket(self._protocol, each) for each in waiting))
        if not await self._idle_within(self._shutdown_timeout):
            connections = self._connections()
            _log.warning("gave up %d connections after %s s", len(connections), self._shutdown_timeout)
            for connection in connections:
                connection.give_up(STOPPING)
            await self._idle_within(_FORCED_CLOSE_TIMEOUT)
        await self.abandon()

    async def abandon(self) -> None:
        """Let go of whatever is left. The work for a client whose connection is gone is given up."""
        for server in getattr(self, "servers", []):
            server.close()
        for connection in self._connections():
            connection.transport.abort()
        if not await self._idle_within(_FORCED_CLOSE_TIMEOUT):
            for task in self.server_state.tasks:
                task.cancel()

    def _protocol(self) -> ProblemProtocol:
        return ProblemProtocol(self.config, self.server_state, {})

    async def _idle_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - uvicorn's plain sets
                    await asyncio.sleep(0.02)
        except TimeoutError:
            return False
        return True

    def _refuse_overdue(self) -> None:
        since = asyncio.get_running_loop().time() - self._receive_timeout
        for connection in self._connections():
            connection.refuse_overdue(since)

    def _connections(self) -> list[ProblemProtocol]:
        return cast(list[ProblemProtocol], list(self.server_state.connections))


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
) -> None:
    """Serve until `stop` is set, and return when what was in flight is done. Raise `AddressInUse` or `CannotListen`.

    `on_started` gets the URL under which the server answers from then on; port 0 takes a free port. A request has
    `receive_timeout` seconds to arrive, and a client as long to take its answer; a connection that had one stays open
    for `keep_alive` seconds without another.
    """
    config = uvicorn.Config(
        app,
        http=ProblemProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # Nothing asks where a client is, so that nobody has to be believed.
        proxy_headers=False,
        timeout_keep_alive=keep_alive,
        backlog=_BACKLOG,
    )
    server = Server(
        config,
        stop=stop,
        shutdown_timeout=shutdown_timeout,
        receive_timeout=receive_timeout,
        on_started=on_started,
        concurrency=concurrency,
    )
    with await _listen(host, port) as listener:
        try:
            await server.serve(sockets=[listener])
        finally:
            await server.abandon()


async def _listen(host: str, port: int) -> socket.socket:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, *_, address = found[0]
        return socket.create_server(cast(tuple[str, int], address[:2]), family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(f"{host}:{port} is in use: stop what listens there, or choose another port") from error
        raise CannotListen(f"can't listen on {host}:{port}: {error.strerror or error}") from error


def _accept_all(listeners: Sequence[socket.socket]) -> list[socket.socket]:
    """Clients that are connected already as far as they know; to close the listener would reset them."""
    accepted: list[socket.socket] = []
    for listener in listeners:
        # Blocking or closed, out of descriptors, or a client that is gone again: what there was has been taken.
        with suppress(OSError):
            while True:
                accepted.append(listener.accept()[0])
    return accepted


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if listener.family is socket.AF_INET6 else f"http://{host}:{port}"
