import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from attrs import define, field
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

Argument = bytes | str | int
# The library's connections have no types for what is called here.
Connection = Any
# Called with a new connection, before its first command.
OnConnect = Callable[[Connection], Awaitable[None]]

_MAX_CONNECTIONS: Final = 32
# Seconds that a connection that is being opened has, when all are closed.
_MOMENT: Final = 0.1


class ConnectionsClosed(Exception):
    """The call came, or waited, after all connections were closed."""


@define(eq=False)
class Connections:
    """The connections of one process to one Redis: at first one, then as many as are in use at once.

    A call waits for a connection that is open and free, never for one to be opened. To open one takes several round
    trips, and with TLS a handshake: that may take longer than a call is allowed to.
    """

    _make: Callable[[], Connection]
    _connect_timeout: float
    # Used in turn, so that the server closes none of them for being idle.
    _free: deque[Connection] = field(factory=deque, init=False)
    _permits: asyncio.Semaphore = field(factory=lambda: asyncio.Semaphore(0), init=False)
    _open: set[Connection] = field(factory=set, init=False)
    _opening: asyncio.Task[None] | None = field(default=None, init=False)
    _is_closed: bool = field(default=False, init=False)

    async def open(self) -> None:
        """Open one connection more. Raise any error, `TimeoutError` included."""
        connection = self._make()
        try:
            async with asyncio.timeout(self._connect_timeout):
                await connection.connect()
            self._refuse_if_closed()
        except BaseException:
            await _closed(connection)
            raise
        self._open.add(connection)
        self._give_back(connection)

    async def execute(self, *command: Argument) -> Any:
        if self._permits.locked() and len(self._open) < _MAX_CONNECTIONS:
            self._open_another()
        await self._permits.acquire()
        # The library would open a closed connection again, and nobody would close it.
        self._refuse_if_closed()
        connection = self._free.popleft()
        try:
            await connection.send_command(*command)
            answer = await connection.read_response()
        except ResponseError:
            self._give_back(connection)
            raise
        except BaseException:
            # The answer to this call could be taken for the answer to the next one.
            self._open.discard(connection)
            await _closed(connection)
            raise
        self._give_back(connection)
        return answer

    async def close(self) -> None:
        """Close all of them, also those in use. Those that are open are closed even if this is given up."""
        self._is_closed = True
        while self._open:
            await _closed(self._open.pop())
        # Whoever waits for one is refused, one after the other.
        self._permits.release()
        if self._opening is not None:
            # asyncio forgets to close a connection with TLS that is given up before it has had its first turn.
            await asyncio.wait({self._opening}, timeout=_MOMENT)
            self._opening.cancel()
            await asyncio.wait({self._opening})

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            self._permits.release()
            raise ConnectionsClosed

    def _give_back(self, connection: Connection) -> None:
        self._free.append(connection)
        self._permits.release()

    def _open_another(self) -> None:
        if not self._is_closed and (self._opening is None or self._opening.done()):
            self._opening = asyncio.get_running_loop().create_task(self._try_to_open())

    async def _try_to_open(self) -> None:
        # Calls go on over the connections that are there. If there is none, they time out.
        with suppress(Exception):
            await self.open()


async def _closed(connection: Connection) -> None:
    writer = connection._writer  # noqa: SLF001 - the library has no way to close a connection at once
    with suppress(Exception):
        await connection.disconnect(nowait=True)
    if writer is not None:
        # With TLS, it would wait up to 30 s for the server to say goodbye as well.
        writer.transport.abort()


def connector(url: str) -> Callable[[OnConnect], Callable[[], Connection]]:
    """Return what makes connections, which are not open yet. Raise `ValueError` for a URL that is not one of Redis."""

    def pool(on_connect: OnConnect | None = None) -> Any:
        return ConnectionPool.from_url(
            url,
            # Each call is bounded as a whole, and so is the opening of each connection.
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
            # Fewer round trips for a new connection.
            protocol=2,
            driver_info=None,
            redis_connect_func=on_connect,
        )

    def with_greeting(on_connect: OnConnect) -> Callable[[], Connection]:
        made = pool(on_connect)
        first = made.make_connection()

        def make() -> Connection:
            connection = made.make_connection()
            if isinstance(connection, SSLConnection) and isinstance(first, SSLConnection):
                # To read the system's certificates takes several milliseconds, and once is enough.
                connection.ssl_context = first.ssl_context
            return connection

        return make

    try:
        pool().make_connection()
    except (RedisError, TypeError) as error:
        # The library takes unknown parameters of the URL for arguments.
        raise ValueError(str(error)) from None
    return with_greeting
