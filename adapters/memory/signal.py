import asyncio

from attrs import define, field


@define(eq=False)
class MemoryOutboxSignal:
    """Wakes the relay of the same process."""

    _event: asyncio.Event = field(factory=asyncio.Event, init=False)

    def notify(self) -> None:
        self._event.set()

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - the port's signature
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            pass
        self._event.clear()
