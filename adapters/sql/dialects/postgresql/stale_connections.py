"""Connections to PostgreSQL that have fallen silent, as when something on the way has forgotten them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import structlog
from attrs import define, field

_log = structlog.get_logger("holdfast.postgresql")

# Seconds after which the server is asked what has become of a statement, and how often is looked for such.
_TIMEOUT: Final = 2.0
_LOOK_EVERY: Final = 1.0

# Who is at work, be it only waiting for a lock, may take its time. Who listens has never got the statement, or has
# answered it in vain; or both are on their way just now, and so it counts after a second only.
_LISTENING: Final = (
    "SELECT pid FROM pg_stat_activity WHERE pid = ANY($1::int[])"
    # In the middle of a statement, when it has been parsed and is not bound yet, `active` says nothing.
    " AND (state <> 'active' OR wait_event = 'ClientRead')"
    " AND state_change < clock_timestamp() - interval '1 second'"
)
# They would keep their locks: in the middle of a statement for ever, since no timeout of the server counts there.
_END: Final = "SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS silent (pid)"


@define(eq=False)
class StaleConnectionDetector:
    """Ends connections on which no answer will come, long before their statements have had their time.

    A statement that is not answered soon is asked after on a new connection. Where that can't be had nothing is known,
    and the statement's own time bounds the wait. Once one has fallen silent, all that are as old are in doubt.
    """

    _connect: Callable[[], Awaitable[Any]]
    # Those of whom an answer is expected, and since when, or since they were last asked after.
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
        """Whether a connection that was opened then, by `monotonic`, may be silent as well."""
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
            self._asking_after = loop.create_task(self._ask_after({c.get_server_pid(): c for c in late}, now))

    async def _ask_after(self, late: dict[int, Any], now: float) -> None:
        # Whatever goes wrong here, they are asked after again.
        with suppress(Exception):
            async with asyncio.timeout(_TIMEOUT):
                server = await self._connect()
                try:
                    listening = [row["pid"] for row in await server.fetch(_LISTENING, list(late))]
                    # An answer may have come meanwhile.
                    silent = [pid for pid in listening if self._asked.get(late[pid]) == now]
                    if silent:
                        self._found_at = monotonic()
                        _log.warning("connections have fallen silent, and are given up", count=len(silent))
                        for pid in silent:
                            late[pid].terminate()
                        await server.fetch(_END, silent)
                finally:
                    server.terminate()
