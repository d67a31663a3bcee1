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
# Seconds between two attempts to reach the server, and between two looks at a connection that says nothing.
_PAUSE: Final = 1.0
_QUIET: Final = 15.0


@define(eq=False)
class PostgresOutboxSignal:
    """Wakes the relays of every process on the same database.

    NOTIFY is sent after the commit of an order, in a transaction of its own: inside, it would hold a lock on the whole
    server until that commit is on the disk, so that no two orders could commit at once. Calls that come while one is on
    its way become the next one. A process that never waits never listens.
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
        """Work on a connection, and after any trouble on a new one. Whoever waits has a timeout of their own."""
        while True:
            try:
                async with self._connect() as connection:
                    await work(connection)
            except Exception as error:  # noqa: BLE001 - whatever it is, a task that ended would leave the relay to look
                _log.debug("the relay is not woken for a moment", reason=str(error))
            await asyncio.sleep(_PAUSE)

    async def _send(self, connection: AsyncConnection) -> None:
        driver = await _driver(connection)
        self._own_pid = driver.get_server_pid()
        while True:
            await self._wanted.wait()
            # Before it is sent: whoever calls from here on may have committed too late for those who are woken by it.
            self._wanted.clear()
            try:
                # By the driver, as in `core/session.py`: it is said once a batch.
                await driver.execute(_NOTIFY)
            except BaseException:
                self._wanted.set()
                raise

    async def _listen(self, connection: AsyncConnection) -> None:
        driver = await _driver(connection)
        closed = asyncio.Event()
        driver.add_termination_listener(lambda *_: closed.set())
        await driver.add_listener(_CHANNEL, self._hear)
        # Something may have been said while nobody listened.
        self._heard.set()
        while not closed.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_QUIET):
                    await closed.wait()
            # A server that is gone without a word is found out by this.
            await connection.execute(_LOOK)

    def _hear(self, _connection: Any, pid: int, _channel: str, _payload: str) -> None:
        # What this process says itself it has heard already.
        if pid != self._own_pid:
            self._heard.set()


async def _driver(connection: AsyncConnection) -> Any:
    return (await connection.get_raw_connection()).driver_connection
