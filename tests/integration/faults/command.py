"""Breaks servers and processes under load, and prints the results."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from attrs import define, field
from rich import box
from rich.console import Console
from rich.status import Status
from rich.table import Table

from tests.dev_command import WrongArguments
from tests.integration.faults.fault import Fault
from tests.integration.faults.run import Result, Street
from tests.integration.faults.table import FAULTS
from tests.servers import ServerMissing
from tests.servers.packages import find_or_install

_WIDTH: Final = 140


def list_faults(keyword: str) -> bool:
    console = Console(highlight=False, soft_wrap=True)
    for fault in _chosen(keyword):
        console.print(fault.name, markup=False)
    return True


def try_faults(keyword: str, *, houses: int) -> bool:
    """True if every fault was tried and did no harm."""
    chosen = _chosen(keyword)
    console = Console(highlight=False, soft_wrap=True)
    try:
        for server in ("PostgreSQL", "Redis", "RabbitMQ"):
            find_or_install(server, console.print)
    except ServerMissing as missing:
        console.print(f"nothing was tried: {missing}", markup=False)
        return False
    with console.status("starting the servers") as status:
        return asyncio.run(_Trial(chosen, console, status).run(houses))


def _chosen(keyword: str) -> Sequence[Fault]:
    words = keyword.lower().split()
    chosen = [fault for fault in FAULTS if all(word in f"{fault.name} {fault.id}".lower() for word in words)]
    if not chosen:
        raise WrongArguments(f"no fault has all of these words: {keyword}; --list prints all faults")
    return chosen


@define(eq=False)
class _Trial:
    """Runs several faults at once, each on servers of its own. They mostly wait, so this uses the machine better."""

    _chosen: Sequence[Fault]
    _console: Console
    _status: Status
    _began: float = field(factory=time.monotonic, init=False)
    _left: deque[Fault] = field(init=False)
    _now: set[str] = field(factory=set, init=False)
    results: dict[str, Result] = field(factory=dict, init=False)
    failed: list[str] = field(factory=list, init=False)
    skipped: list[str] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._left = deque(self._chosen)

    async def run(self, houses: int) -> bool:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(houses, len(self._chosen))):
                tasks.create_task(self._work_off())
        self._status.stop()
        results = [self.results[fault.id] for fault in self._chosen if fault.id in self.results]
        # Wide enough for every name: what is printed into a file is not folded.
        Console(width=_WIDTH).print(_table(results))
        took = time.monotonic() - self._began
        self._console.print(
            f"{len(results)} faults in {took:.0f} s, {len(self.failed)} failed, {len(self.skipped)} skipped"
        )
        for line in (*self.skipped, *self.failed):
            self._console.print(line, markup=False)
        return not self.failed and not self.skipped

    async def _work_off(self) -> None:
        street = Street()
        try:
            while self._left:
                fault = self._left.popleft()
                self._now.add(fault.name)
                self._status.update(" | ".join(sorted(self._now)))
                self._say(await self._try(street, fault))
                self._now.remove(fault.name)
        finally:
            await street.close()

    async def _try(self, street: Street, fault: Fault) -> str:
        if reason := fault.missing():
            self.skipped.append(f"SKIPPED {fault.name}: {reason}")
            return self.skipped[-1]
        try:
            result = await street.run(fault)
        except Exception as error:  # noqa: BLE001 - the other faults are tried all the same
            self.failed.append(f"FAILED {fault.name}: {str(error) or repr(error)}")
            return self.failed[-1]
        self.results[fault.id] = result
        if not result.well:
            self.failed.append(f"FAILED {result.story()}")
            return self.failed[-1]
        seen = f"{result.done} done, {result.refused} refused, {result.unknown} unknown"
        return f"{fault.name}: {seen}; recovered in {result.recovered:.1f} s"

    def _say(self, line: str) -> None:
        over = len(self._chosen) - len(self._left) - len(self._now) + 1
        self._console.print(f"[{over}/{len(self._chosen)}] {line}", markup=False)


def _table(results: Sequence[Result]) -> Table:
    """As it stands in docs/reliability.md, too."""
    table = Table(box=box.MARKDOWN)
    table.add_column("fault", no_wrap=True)
    for name in ("done", "refused", "unknown", "recovered, s", "lost", "doubled"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        counts = (result.done, result.refused, result.unknown)
        found = (len(result.findings.lost), len(result.findings.doubled))
        table.add_row(result.fault.name, *map(str, counts), f"{result.recovered:.1f}", *map(str, found))
    return table
