"""The servers of a service: their addresses, and the cables to them, which a scenario can cut."""

import asyncio
import threading
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from typing import TypeVar

from attrs import define, field

from tests.cables import PATIENCE, Cable, cable

T = TypeVar("T")


@define(eq=False)
class Servers:
    """The database, and the settings of the service, which reaches the database and the broker through cables."""

    database: str
    database_cable: Cable
    broker_cable: Cable
    _redis: str
    _namespace: str
    _do: Callable[[Callable[[], None]], None] = field(repr=False)

    @property
    def settings(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.database_cable.url,
            "AMQP_URL": self.broker_cable.url,
            "REDIS_URL": self._redis,
            "HOLDFAST_NAMESPACE": self._namespace,
        }

    def pull(self, *, broker: bool) -> None:
        def pull() -> None:
            for wire in (self.database_cable, self.broker_cable)[: 1 + broker]:
                wire.plugged = False
                wire.cut()

        self._do(pull)

    def plug(self) -> None:
        self.database_cable.plugged = self.broker_cable.plugged = True


@contextmanager
def reached_by_cable(*, database: str, broker: str, redis: str, namespace: str) -> Generator[Servers, None, None]:
    """The cables have a loop and a thread of their own: the steps are plain functions, and may wait."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    stack = AsyncExitStack()

    async def lay(url: str) -> Cable:
        return await stack.enter_async_context(cable(url))

    async def do(work: Callable[[], None]) -> None:
        work()

    try:
        cables = [asyncio.run_coroutine_threadsafe(lay(url), loop).result(PATIENCE) for url in (database, broker)]
        yield Servers(
            database,
            *cables,
            redis,
            namespace,
            lambda work: asyncio.run_coroutine_threadsafe(do(work), loop).result(PATIENCE),
        )
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(2 * PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()
