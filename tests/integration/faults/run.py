"""One fault under load: break, hold, repair, wait until everything has drained, and check the data."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final
from uuid import UUID

from attrs import define, field, frozen

from tests.integration.faults.checks import Findings, look_through
from tests.integration.faults.clients import MARGIN, Diary, Load, Outcome, clients
from tests.integration.faults.fault import Fault
from tests.integration.faults.house import DEADLINE, PROCESSES, House, Shop, open_house
from tests.integration.faults.readers import caught_up, following
from tests.service import until

# The number of orders placed before the fault, and after its repair.
_BEFORE: Final = 20
_AFTER: Final = 10
# The code for an order that is queued and not recorded yet. On a busy machine, any fault may make the database slower
# than a second.
_A_MOMENT: Final = "not_yet_recorded"
# Far more than a fault takes, with all that it waits for.
_BOUND: Final = 600.0


@frozen(kw_only=True)
class Result:
    fault: Fault
    done: int
    refused: int
    unknown: int
    recovered: float
    """Seconds from the repair until all accepted work was done."""
    slowest: float
    findings: Findings
    troubles: list[str]
    """Responses that clients must not get, and work that is not done in the end."""
    delays: list[str]
    """What clients got too late, or were refused for a while. On a busy machine, the load alone may be the reason."""

    @property
    def safe(self) -> bool:
        return not self.findings.all() and not self.troubles

    @property
    def well(self) -> bool:
        return self.safe and not self.delays

    def story(self) -> str:
        lines = [*self.delays, *self.troubles, *self.findings.all()]
        shown = lines if len(lines) <= 30 else [*lines[:30], f"and {len(lines) - 30} more"]
        return "\n".join([f"{self.fault.name}:", *(f"  {line}" for line in shown)])


async def run_fault(house: House, fault: Fault, *, slowness: float = 1.0) -> Result:
    """Try it. A machine of this slowness needs so many times as long for everything."""
    within = fault.within * slowness
    diary = Diary()
    load = Load(house=house, diary=diary, api_is_there=fault.api_is_there)
    loop = asyncio.get_running_loop()
    repaired = 0.0
    async with asyncio.timeout(_BOUND * slowness), following(house):
        async with clients(load):
            await placed(diary, _BEFORE, seconds=60 * slowness)
            diary.faulty = True
            async with fault.breaking(house):
                await asyncio.sleep(fault.hold)
            diary.faulty = False
            repaired = loop.time()
            load.deadline = repaired + within
            await placed(diary, diary.placed() + _AFTER, seconds=60 * slowness)
        left = await drained(house, diary, repaired + within - loop.time())
    recovered = loop.time() - repaired
    findings = await look_through(house, diary)
    return Result(
        fault=fault,
        done=diary.outcomes[Outcome.DONE],
        refused=diary.outcomes[Outcome.REFUSED],
        unknown=diary.outcomes[Outcome.UNKNOWN],
        recovered=recovered,
        slowest=diary.slowest,
        findings=findings,
        troubles=[*left, *(f"{what}, {times} times" for what, times in diary.troubles.items())],
        delays=_delays(fault, diary),
    )


async def placed(diary: Diary, number: int, *, seconds: float) -> None:
    """Wait until so many orders were placed."""

    async def there_are() -> bool:
        return diary.placed() >= number

    await until(there_are, seconds=seconds, what=f"{number} orders are placed")


async def drained(house: Shop, diary: Diary, seconds: float) -> list[str]:
    """Wait until all accepted work is done; what is not."""
    told = {UUID(each.order_id) for each in diary.told}

    async def nothing_waits() -> bool:
        return not await house.waiting() and not await house.unrecorded(told) and await caught_up(house)

    try:
        await until(nothing_waits, seconds=max(1.0, seconds), what="everything has drained")
    except AssertionError as late:
        read = ", ".join(f"{reader.name} up to {reader.position}" for reader in house.readers)
        return [f"{late}: {await house.waiting()} events and orders wait; the feed was read {read}"]
    return []


def _delays(fault: Fault, diary: Diary) -> list[str]:
    found: list[str] = []
    if diary.slowest > DEADLINE + MARGIN and fault.api_is_there:
        found.append(f"a reply took {diary.slowest:.1f} s")
    if fault.nothing_unknown and diary.outcomes[Outcome.UNKNOWN]:
        found.append(f"{diary.outcomes[Outcome.UNKNOWN]} requests stayed without an answer")
    for what in fault.goes_on:
        if refused := {why: times for why, times in diary.reasons[what].items() if times and why != _A_MOMENT}:
            found.append(f"meanwhile {sum(refused.values())} times it was refused to {what}: {', '.join(refused)}")
        if not diary.meanwhile[what, Outcome.DONE]:
            found.append(f"meanwhile no client could {what}")
    return found


@define(eq=False)
class Street:
    """The servers for faults, one after the other. After a failed fault, they are replaced."""

    _slowness: float = 1.0
    _stack: AsyncExitStack | None = field(default=None, init=False)
    _house: House | None = field(default=None, init=False)

    async def run(self, fault: Fault) -> Result:
        """Raise unexpected errors; findings are in the result."""
        well = False
        try:
            if self._house is None:
                self._stack = AsyncExitStack()
                self._house = await self._stack.enter_async_context(open_house())
            await self._in_order(self._house)
            result = await run_fault(self._house, fault, slowness=self._slowness)
            well = result.well
        finally:
            if not well:
                await self.close()
        return result

    async def _in_order(self, house: House) -> None:
        await house.kill(*(house.service.processes.keys() - set(PROCESSES) | house.changed))
        for name in PROCESSES:
            if name not in house.service.processes or not house.process(name).running:
                await house.start(name)
        await house.ready()

    async def close(self) -> None:
        stack, self._stack, self._house = self._stack, None, None
        if stack is not None:
            await stack.aclose()
