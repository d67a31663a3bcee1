"""One fault under load, and the alerts that fire meanwhile in a real Prometheus."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Final

from attrs import define, field, frozen

from tests.integration.faults.alerts.prometheus import PrometheusServer, WatchedService
from tests.integration.faults.alerts.rows import OF_A_SLOW_MACHINE, Row
from tests.integration.faults.clients import Diary, Load, clients
from tests.integration.faults.house import PROCESSES, House, open_house
from tests.service import until

# Orders that are placed before the fault.
_BEFORE: Final = 20
_PAUSE: Final = 0.25


@frozen(kw_only=True)
class Result:
    row: Row
    fired: dict[str, float]
    """Seconds from when it was broken until it fired; less than 0 if that was while it was being broken."""
    troubles: Sequence[str]

    def line(self) -> str:
        seen = ", ".join(f"{name} after {after:.1f} s" for name, after in sorted(self.fired.items())) or "silence"
        return f"{self.row.name}: {seen}"


@define(eq=False)
class _Watch:
    """What fires, from the beginning on."""

    _prometheus: PrometheusServer
    _at: dict[str, float] = field(factory=dict, init=False)

    async def run(self) -> None:
        while True:
            with suppress(OSError):
                for name in await asyncio.to_thread(self._prometheus.firing):
                    self._at.setdefault(name, asyncio.get_running_loop().time())
            await asyncio.sleep(_PAUSE)

    def fired(self, *, since: float) -> dict[str, float]:
        return {name: at - since for name, at in self._at.items()}


@define(eq=False)
class AlertStreet:
    """The servers for alerts, one fault after the other. Each fault has a Prometheus that knows nothing of the last."""

    _stack: AsyncExitStack = field(factory=AsyncExitStack, init=False)
    _house: House | None = field(default=None, init=False)

    async def run(self, row: Row) -> Result:
        house = await self._in_order()
        service = house.service
        assert isinstance(service, WatchedService)
        prometheus = PrometheusServer(service.targets)
        watch, broken = _Watch(prometheus), 0.0
        try:
            await asyncio.to_thread(prometheus.start)
            diary = Diary()
            async with clients(Load(house=house, diary=diary, api_is_there=False)):
                await until(_placed(diary), seconds=120, what=f"{_BEFORE} orders are placed")
                await until(_all_scraped(prometheus), seconds=120, what="every process was scraped")
                await until(_silent(prometheus), seconds=300, what="nothing fires before the fault")
                watching = asyncio.create_task(watch.run())
                try:
                    async with row.breaking(house):
                        broken = asyncio.get_running_loop().time()
                        await asyncio.sleep(row.hold)
                        # A process that is stopped for the repair is no alert of the fault.
                        watching.cancel()
                finally:
                    watching.cancel()
                    await asyncio.gather(watching, return_exceptions=True)
        finally:
            await asyncio.to_thread(prometheus.close)
        fired = watch.fired(since=broken)
        return Result(row=row, fired=fired, troubles=troubles_of(row, fired))

    async def _in_order(self) -> House:
        if self._house is None:
            self._house = await self._stack.enter_async_context(open_house(kind=WatchedService))
            # Without a check, that would be an alert.
            await asyncio.to_thread(self._house.service.run, "reconcile", seconds=120)
        house, service = self._house, self._house.service
        assert isinstance(service, WatchedService)
        await house.kill(*(service.processes.keys() - set(PROCESSES) | house.changed))
        for name in service.ports.keys() - set(PROCESSES):
            del service.ports[name]
        for name in PROCESSES:
            if name not in service.processes or not house.process(name).running:
                await house.start(name)
        service.tell_targets()
        await house.ready()

        async def nothing_waits() -> bool:
            return not await house.waiting()

        # What the fault before has held up would be late now.
        await until(nothing_waits, seconds=300, what="everything has drained")
        return house

    async def close(self) -> None:
        await self._stack.aclose()


def _placed(diary: Diary) -> Callable[[], Awaitable[bool]]:
    async def enough() -> bool:
        return diary.placed() >= _BEFORE

    return enough


def _all_scraped(prometheus: PrometheusServer) -> Callable[[], Awaitable[bool]]:
    async def scraped() -> bool:
        up = await asyncio.to_thread(prometheus.ask, "sum(up) == count(up)")
        leads = await asyncio.to_thread(prometheus.ask, "sum(holdfast_relay_leader) == 1")
        return bool(up) and bool(leads)

    return scraped


def _silent(prometheus: PrometheusServer) -> Callable[[], Awaitable[bool]]:
    """What the fault before has left must be over, so that it is not taken for this one's."""

    async def silent() -> bool:
        loud = await asyncio.to_thread(prometheus.ask, 'ALERTS{alertstate=~"firing|pending"}')
        return {each["metric"]["alertname"] for each in loud} <= OF_A_SLOW_MACHINE

    return silent


def troubles_of(row: Row, fired: dict[str, float]) -> list[str]:
    found = []
    for name, within in row.fires.items():
        if name not in fired:
            found.append(f"{name} must fire within {within:g} s, and stayed silent")
        elif fired[name] > within:
            found.append(f"{name} must fire within {within:g} s, and fired after {fired[name]:.1f} s")
    loud = fired.keys() - row.fires.keys() - row.may - OF_A_SLOW_MACHINE
    return found + [f"{name} must stay silent, and fired after {fired[name]:.1f} s" for name in sorted(loud)]
