import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import structlog
from attrs import define, field
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from adapters.sql.dialects.base import Connect

_log = structlog.get_logger("holdfast.signal")

_CHANNEL: Final = "holdfast_outbox"
_NOTIFY: Final = f"NOTIFY {_CHANNEL}"
_LOOK: Final = text("SELECT 1")
# Seconds between two attempts to connect, and between two checks of a connection without notifications.
_PAUSE: Final = 1.0
_QUIET: Final = 15.0


@define(eq=False)
class PostgresOutboxSignal:
    """Wakes the relays of every process on the same database.

    NOTIFY is sent after the commit of an order, in its own transaction. As a part of the order's transaction, NOTIFY
    would hold a lock on the whole server until the commit is on the disk, and no two orders could commit at once. Calls
    of `notify` while a NOTIFY is being sent are combined into the next one. A process that never waits never listens.
    """

    _connect: Connect
    _wanted: asyncio.Event = field(factory=asyncio.Event, init=False)
    _heard: asyncio.Event = field(factory=asyncio.Event, init=False)
    _own_pid: int = field(default=0, init=False)
    _sender: asyncio.Task[None] | None = field(default=None, init=False)
    _listener: asyncio.Task[None] | None = field(default=None, init=False)

    def notify(self) -> None:
        self._heard.set()
        self._wanted.set()
        if self._sender is None:
            self._sender = asyncio.get_running_loop().create_task(self._keep(self._send))

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - the port's signature
        if self._listener is None:
            self._listener = asyncio.get_running_loop().create_task(self._keep(self._listen))
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._heard.wait()
        self._heard.clear()

    async def close(self) -> None:
        tasks = [task for task in (self._sender, self._listener) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, work: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        """Run the work on a connection, and after any error on a new one. Callers of `wait` have their own timeout."""
        while True:
            try:
                async with self._connect() as connection:
                    await work(connection)
            except Exception as error:  # noqa: BLE001 - the task must not end: the relay would have to poll
                _log.debug("the connection that wakes the relay was lost", reason=str(error))
            await asyncio.sleep(_PAUSE)

    async def _send(self, connection: AsyncConnection) -> None:
        driver = await _driver(connection)
        self._own_pid = driver.get_server_pid()
        while True:
            await self._wanted.wait()
            # Cleared before NOTIFY is sent: the relays that it wakes may not see the commit of a later caller.
            self._wanted.clear()
            try:
                # Through the driver, as in `core/session.py`, because NOTIFY is sent for each batch.
                await driver.execute(_NOTIFY)
            except BaseException:
                self._wanted.set()
                raise

    async def _listen(self, connection: AsyncConnection) -> None:
        driver = await _driver(connection)
        closed = asyncio.Event()
        driver.add_termination_listener(lambda *_: closed.set())
        await driver.add_listener(_CHANNEL, self._hear)
        # A notification may have been missed before this process listened.
        self._heard.set()
        while not closed.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_QUIET):
                    await closed.wait()
            # This query fails if the server is gone without having closed the connection.
            await connection.execute(_LOOK)

    def _hear(self, _connection: Any, pid: int, _channel: str, _payload: str) -> None:
        # `notify` has already woken the relay of this process.
        if pid != self._own_pid:
            self._heard.set()


async def _driver(connection: AsyncConnection) -> Any:
    return (await connection.get_raw_connection()).driver_connection
