"""`holdfast faults`: break the servers and processes one after the other, under load, and print what came of it."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from tests.integration.faults.fault import Fault
from tests.integration.faults.run import Result, Street
from tests.integration.faults.table import FAULTS
from tests.servers import ServerMissing
from tests.servers.packages import find_or_install

# Wide enough for every name: what is printed into a file is not folded.
_WIDTH: Final = 140


def faults(*, keyword: str = "", only_list: bool = False) -> bool:
    """Those whose names hold all words of `keyword`. True when each was well, and none was left out."""
    words = keyword.lower().split()
    chosen = [fault for fault in FAULTS if all(word in f"{fault.name} {fault.id}".lower() for word in words)]
    console = Console(highlight=False, soft_wrap=True)
    if only_list or not chosen:
        for fault in chosen:
            console.print(fault.name, markup=False)
        return bool(chosen)
    try:
        for server in ("PostgreSQL", "Redis", "RabbitMQ"):
            find_or_install(server, console.print)
    except ServerMissing as missing:
        console.print(f"nothing was tried: {missing}", markup=False)
        return False
    return asyncio.run(_run(chosen, console))


async def _run(chosen: Sequence[Fault], console: Console) -> bool:
    began = time.monotonic()
    results: list[Result] = []
    failed: list[str] = []
    skipped: list[str] = []
    street = Street()
    try:
        with console.status("starting the servers") as status:
            for number, fault in enumerate(chosen, 1):
                if reason := fault.missing():
                    skipped.append(f"SKIPPED {fault.name}: {reason}")
                    console.print(skipped[-1], markup=False)
                    continue
                status.update(f"{number} of {len(chosen)}: {fault.name}")
                try:
                    result = await street.run(fault)
                except Exception as error:  # noqa: BLE001 - the others shall be tried as well
                    failed.append(f"{fault.name}: {error or repr(error)}")
                    console.print(f"FAILED {failed[-1]}", markup=False)
                    continue
                results.append(result)
                console.print(_line(result, number, len(chosen)), markup=False)
                if not result.well:
                    failed.append(result.story())
                    console.print(f"FAILED {failed[-1]}", markup=False)
    finally:
        await street.close()
    Console(width=_WIDTH).print(_table(results))
    took = time.monotonic() - began
    console.print(f"{len(results)} faults in {took:.0f} s, {len(failed)} failed, {len(skipped)} skipped")
    for line in (*skipped, *failed):
        console.print(line, markup=False)
    return not failed and not skipped


def _line(result: Result, number: int, of: int) -> str:
    seen = f"{result.done} done, {result.refused} refused, {result.unknown} unknown"
    return f"[{number}/{of}] {result.fault.name}: {seen}; recovered in {result.recovered:.1f} s"


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
