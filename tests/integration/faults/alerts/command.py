"""`./dev faults --alerts`."""

import asyncio
from collections.abc import Sequence
from typing import Final

from rich.console import Console

from tests.dev_command import WrongArguments
from tests.integration.faults.alerts.rows import ROWS, Row
from tests.integration.faults.alerts.run import AlertStreet
from tests.servers import ServerMissing
from tests.servers.packages import find_or_install

_SERVERS: Final = ("PostgreSQL", "Redis", "RabbitMQ", "Prometheus", "wrk")


def list_rows(keyword: str) -> bool:
    console = Console(highlight=False, soft_wrap=True)
    for row in _chosen(keyword):
        fires = ", ".join(f"{name} within {seconds:g} s" for name, seconds in row.fires.items()) or "nothing"
        console.print(f"{row.name}: {fires}", markup=False)
    return True


def try_rows(keyword: str) -> bool:
    """True if each fault fired its alerts in time, and no others."""
    chosen = _chosen(keyword)
    console = Console(highlight=False, soft_wrap=True)
    try:
        for server in _SERVERS:
            find_or_install(server, console.print)
    except ServerMissing as missing:
        console.print(f"nothing was tried: {missing}", markup=False)
        return False
    return asyncio.run(_try(chosen, console))


async def _try(rows: Sequence[Row], console: Console) -> bool:
    failed = []
    street = AlertStreet()
    try:
        for number, row in enumerate(rows, 1):
            try:
                result = await street.run(row)
                line, troubles = result.line(), result.troubles
            except Exception as error:  # noqa: BLE001 - the other rows are tried all the same
                line, troubles = row.name, [f"{type(error).__name__}: {error}"]
                await street.close()
                street = AlertStreet()
            console.print(f"[{number}/{len(rows)}] {line}", markup=False)
            for trouble in troubles:
                console.print(f"    FAILED {trouble}", markup=False)
            failed += [row.name] * bool(troubles)
    finally:
        await street.close()
    console.print(f"{len(rows)} rows, {len(failed)} failed", markup=False)
    return not failed


def _chosen(keyword: str) -> Sequence[Row]:
    words = keyword.lower().split()
    chosen = [row for row in ROWS if all(word in row.name.lower() for word in words)]
    if not chosen:
        raise WrongArguments(f"no row has all of these words: {keyword}; --alerts --list prints all rows")
    return chosen
