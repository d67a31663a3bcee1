"""Finds silent connections to PostgreSQL, such as those that a firewall has forgotten."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import structlog
from attrs import define, field

from adapters.sql.dialects.postgresql.hosts import ServerProcess

_log = structlog.get_logger("holdfast.postgresql")

# Seconds after which the server is asked for the state of a statement, and seconds between two checks for late ones.
_TIMEOUT: Final = 2.0
_LOOK_EVERY: Final = 1.0

# A server process that executes the statement, or waits for a lock, is left alone. A process that waits for the client
# has never received the statement, or its reply was lost. Either may also be in transit at the moment. So a process
# counts only after it has waited for a second. One that is not there any more has ended, and its end was lost.
_PROCESSES: Final = (
    "SELECT pid, backend_start AS since,"
    # Between parsing and binding a statement, a process is `active` although it waits for the client.
    " (state <> 'active' OR wait_event = 'ClientRead')"
    " AND state_change < clock_timestamp() - interval '1 second' AS listens"
    " FROM pg_stat_activity WHERE pid = ANY($1::int[])"
)
# Otherwise silent connections would keep their locks. In the middle of a statement they would keep them for ever,
# because no timeout of the server applies there.
_END: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " JOIN unnest($1::int[], $2::timestamptz[]) AS silent (pid, backend_start) USING (pid, backend_start)"
)


@define(eq=False)
class StaleConnectionDetector:
    """Closes connections on which no reply will arrive, long before their statements time out.

    If a statement has no reply after two seconds, a new connection asks the server for its state. If no new connection
    can be opened, the state is unknown, and the statement's own timeout bounds the wait. Once a connection has become
    silent, all connections that were opened before then are in doubt.

    The new connection may lead to another server than the silent one: the server was started anew, or another host
    takes the writes. Then the silent one is closed, and no process is ended, since its number is somebody else's there.
    """

    _connect: Callable[[], Awaitable[Any]]
    _process_of: Callable[[Any], ServerProcess]
    # The connections that wait for a reply, each with the time when it was asked, or was last checked.
    _asked: dict[Any, float] = field(factory=dict, init=False)
    _look_next: asyncio.TimerHandle | None = field(default=None, init=False)
    _asking_after: asyncio.Task[None] | None = field(default=None, init=False)
    _found_at: float = field(default=0.0, init=False)

    async def watched(self, connection: Any, answer: Awaitable[Any]) -> Any:
        loop = asyncio.get_running_loop()
        self._asked[connection] = loop.time()
        if self._look_next is None:
            self._look_next = loop.call_later(_LOOK_EVERY, self._look)
        try:
            return await answer
        finally:
            del self._asked[connection]

    def is_in_doubt(self, opened_at: float) -> bool:
        """Return whether a connection that was opened then (`monotonic`) may be silent as well."""
        return opened_at < self._found_at

    def _look(self) -> None:
        self._look_next = None
        if not self._asked:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._look_next = loop.call_later(_LOOK_EVERY, self._look)
        late = [connection for connection, since in self._asked.items() if now - since > _TIMEOUT]
        if late and (self._asking_after is None or self._asking_after.done()):
            self._asked.update(dict.fromkeys(late, now))
            self._asking_after = loop.create_task(self._ask_after({self._process_of(c): c for c in late}, now))

    async def _ask_after(self, late: Mapping[ServerProcess, Any], now: float) -> None:
        # After any error, the connections are checked again later.
        with suppress(Exception):
            async with asyncio.timeout(_TIMEOUT):
                server = await self._connect()
                try:
                    here = self._process_of(server).server
                    found = {
                        (row["pid"], row["since"]): row["listens"]
                        for row in await server.fetch(_PROCESSES, [process.pid for process in late])
                    }
                    silent = [
                        process
                        for process, connection in late.items()
                        # A reply may have arrived in the meantime.
                        if self._asked.get(connection) == now
                        and (process.server != here or found.get((process.pid, process.since), True))
                        # The pooler's process is another one by now, or was never this connection's alone.
                        and not process.is_pooled
                    ]
                    if silent:
                        self._found_at = monotonic()
                        _log.warning("connections have become silent, and are closed", count=len(silent))
                        for process in silent:
                            late[process].terminate()
                        listening = [process for process in silent if process.server == here]
                        pids, since = [each.pid for each in listening], [each.since for each in listening]
                        await server.fetch(_END, pids, since)
                finally:
                    server.terminate()
