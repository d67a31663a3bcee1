"""`./dev bench export`: how fast a database full of orders is exported, and in how much memory."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, get_args

import uvloop
from cyclopts import Parameter

from application.access.principal import SYSTEM
from application.assembly.use_cases import UseCases
from application.exports.request import ExportRequest
from application.intake.order_request import OrderRequest, RequestedItem
from application.ports.broken import sound
from application.ports.rows import Format
from domain.ids import UserId
from domain.jobs.job import Job
from entrypoints.cli.common import CommandError, Data, command_settings
from entrypoints.connections import open_container
from entrypoints.settings import Settings

_BATCH: Final = 20
_MEGA: Final = 1_000_000


def export(
    *,
    formats: Annotated[tuple[Format, ...], Parameter(help="One export of each.")] = get_args(Format),
    data: Data = None,
) -> None:
    """Export all orders of the PostgreSQL that DATABASE_URL names, by a worker, while orders are placed.

    Fill it with `./dev bench fill` first. It prints the rows a second and the most memory that the worker took, and
    reads each export to its end.
    """
    settings = command_settings(data=data)
    if not settings.database_url:
        raise CommandError("DATABASE_URL is not set; set it to a PostgreSQL database with orders, as `fill` makes one")
    for format_ in formats:
        uvloop.run(_measure(settings, format_))


async def _measure(settings: Settings, format_: Format) -> None:
    with _worker() as pid:
        async with open_container(settings) as container:
            use_cases = container.use_cases()
            begun = time.monotonic()
            started = await use_cases.start_export(SYSTEM, ExportRequest(what="orders", format=format_))
            placing = asyncio.create_task(_place(use_cases))
            try:
                job = await _ended(use_cases, started.job)
            finally:
                placing.cancel()
            seconds, peak = time.monotonic() - begun, _peak_kb(pid)
            if job.result is None:
                raise CommandError(f"the job is {job.status.value}: {job.error}")
            rows, size = job.result["rows"], job.result["bytes"]
            begun = time.monotonic()
            read = await _read(use_cases, job)
            download = time.monotonic() - begun
    if read != size:
        raise CommandError(f"the export has {read} bytes, and {size} were written")
    print(
        f"{format_}: {rows:,} orders, {size / _MEGA:,.0f} MB in {seconds:.0f} s, {rows / seconds:,.0f} rows/s;"
        f" the worker took {peak / 1000:.0f} MB at most; read at {size / _MEGA / download:.0f} MB/s"
    )


@contextmanager
def _worker() -> Iterator[int]:
    # A process of its own, so that its memory is that of the export.
    process = subprocess.Popen([str(Path(sys.executable).with_name("holdfast")), "worker"])  # noqa: S603 - our own
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


async def _place(use_cases: UseCases) -> None:
    """Place orders all the time, since an export of a shop at rest is no export of a shop."""
    [product, *_] = sound(await use_cases.list_products(SYSTEM, limit=1))
    request = OrderRequest(UserId(1), (RequestedItem(product.id, 1),))
    while True:
        await asyncio.gather(*(use_cases.place_order(SYSTEM, request) for _ in range(_BATCH)))
        await asyncio.sleep(0.1)


async def _ended(use_cases: UseCases, job: Job) -> Job:
    while job.finished_at is None:
        await asyncio.sleep(0.5)
        job = await use_cases.get_job(SYSTEM, job.id)
    return job


async def _read(use_cases: UseCases, job: Job) -> int:
    export, size = await use_cases.get_export(SYSTEM, job.id), 0
    while part := await use_cases.read_export(SYSTEM, export, at=size):
        size += len(part)
    return size


def _peak_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1])
