"""The first process in the namespaces of a run: tries the rows, in a child. When it ends, all others are killed."""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from attrs import define, field
from rich import box
from rich.console import Console
from rich.table import Table

from tests.integration.faults.cluster.cluster import Cluster, open_cluster
from tests.integration.faults.cluster.command import chosen
from tests.integration.faults.cluster.row import Result, Row, run_row
from tests.servers.process import hear_signals


@define(eq=False)
class _Trial:
    """Tries the rows one after the other, on one cluster, which is replaced after a row that did harm."""

    _rows: Sequence[Row]
    _folder: Path
    _patroni: Path
    _console: Console
    _stack: AsyncExitStack = field(factory=AsyncExitStack, init=False)
    _cluster: Cluster | None = field(default=None, init=False)
    _clusters: int = field(default=0, init=False)
    _results: list[Result] = field(factory=list, init=False)
    _failed: list[str] = field(factory=list, init=False)

    async def run(self) -> bool:
        began = time.monotonic()
        try:
            for number, row in enumerate(self._rows, 1):
                self._say(f"[{number}/{len(self._rows)}] {await self._try(row)}")
        finally:
            await self._stack.aclose()
            # Wide enough for every name: what is printed into a file is not folded.
            Console(width=400).print(_table(self._results))
        self._say(f"{len(self._results)} rows in {time.monotonic() - began:.0f} s, {len(self._failed)} failed")
        for line in self._failed:
            self._say(line)
        return not self._failed

    async def _try(self, row: Row) -> str:
        try:
            cluster = await self._ready()
            result = await run_row(cluster, row)
        except Exception as error:  # noqa: BLE001 - the other rows are tried all the same
            self._console.print_exception()
            self._failed.append(f"FAILED {row.title}: {str(error) or repr(error)}")
            await self._replace()
            return self._failed[-1]
        self._results.append(result)
        if not result.safe:
            await self._replace()
        if not result.safe or result.delays():
            self._failed.append(f"FAILED {result.story()}")
            return self._failed[-1]
        return f"{row.title}: " + ", ".join(f"{name} {value}" for name, value in _cells(result).items())

    async def _ready(self) -> Cluster:
        if self._cluster is None:
            self._clusters += 1
            began = time.monotonic()
            folder = self._folder / str(self._clusters)
            folder.mkdir(mode=0o711)
            self._cluster = await self._stack.enter_async_context(open_cluster(folder, self._patroni))
            self._say(f"the cluster is there, after {time.monotonic() - began:.0f} s")
        return self._cluster

    async def _replace(self) -> None:
        """Kill it. The network is made anew as well."""
        self._cluster = None
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False)


def _table(results: Sequence[Result]) -> Table:
    """What docs/reliability.md shows, less the counts of 201 and 202, which depend on the machine."""
    table = Table(box=box.MARKDOWN)
    table.add_column("what is done to the cluster", no_wrap=True)
    for result in results[:1]:
        for name in _cells(result):
            table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        table.add_row(result.row.title, *_cells(result).values())
    return table


def _cells(result: Result) -> dict[str, str]:
    failed = str(len(result.failed))
    if result.failed:
        failed += f" ({result.failed[0]:.1f} to {result.failed[-1]:.1f} s)"
    return {
        "201": str(result.created),
        "202": str(result.accepted),
        "POSTs failed": failed,
        "others failed": str(result.others_failed),
        "slowest POST, s": f"{result.slowest_post:.1f}",
        "later": f"{result.slowest_later:.1f}",
        "gap, s": f"{result.gap:.1f}",
        "new primary, s": str(result.new_primary),
        "201 again, s": str(result.created_again),
        "drained, s": f"{result.drained:.1f}",
        "lost": str(len(result.findings.lost)),
        "doubled": str(len(result.findings.doubled)),
        "nodes equal": "no" if result.differences else "yes",
        "load": f"{result.load:.1f}",
        "limits": f"x {result.slowness:.1f}",
    }


def _try_rows(folder: str, patroni: str, keyword: str = "") -> bool:
    hear_signals()
    console = Console(highlight=False, soft_wrap=True)
    return asyncio.run(_Trial(chosen(keyword), Path(folder), Path(patroni), console).run())


def main() -> None:
    child = os.fork()
    if not child:
        os._exit(0 if _try_rows(*sys.argv[1:]) else 1)
    # It is the parent of all whose own has ended, and waits for each, as the first process has to.
    while True:
        ended, status = os.wait()
        if ended == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


if __name__ == "__main__":
    main()
