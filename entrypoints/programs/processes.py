"""API, workers and relay as processes of their own, on one machine and one port."""

import asyncio
import os
from collections.abc import Callable
from typing import Final

from attrs import evolve

from entrypoints.connections import only_one
from entrypoints.database import NotReady
from entrypoints.http.server.listening import listen
from entrypoints.loops import Stop
from entrypoints.processes.folder import MAIN, Folder
from entrypoints.processes.parent import ENDS_LATE
from entrypoints.processes.supervisor import HOLDFAST, Child, Supervisor
from entrypoints.settings import InvalidSettings, Settings

_LAST_PORT: Final = 65535


async def run_processes(settings: Settings, stop: Stop, *, log_files: bool, on_started: Callable[[str], None]) -> None:
    """Run as many processes as the settings say, until the stop. Each is started again when it dies."""
    folder = Folder(settings.data)
    with only_one(settings):
        folder.forget_all()
        folder.write_pid(MAIN, os.getpid())
        try:
            environment = _environment(settings)
            await _expect_free_port(settings)
            await _make_tables(environment)
            supervisor = Supervisor(
                children(settings),
                environment,
                folder,
                log_files,
                graceful_timeout=settings.shutdown_timeout + ENDS_LATE,
            )
            await supervisor.run(stop, on_started)
        finally:
            folder.forget_pid(MAIN)


def children(settings: Settings) -> list[Child]:
    """The API stops first, so that the others can process what it has accepted. Raise `InvalidSettings`."""
    apis = [
        Child(f"api-{number}", ("api", "--supervised"), stage=0, listens=True)
        for number in range(1, settings.api_processes + 1)
    ]
    workers = [
        Child(f"worker-{number}", ("worker", "--supervised"), stage=1)
        for number in range(1, settings.worker_processes + 1)
    ]
    # Without a broker, the worker is the relay, too.
    relays = [Child("relay", ("relay", "--supervised"), stage=1)] if settings.amqp_url else []
    made = [*relays, *workers, *apis]
    if settings.metrics_port is None:
        return made
    if settings.port in range(settings.metrics_port, settings.metrics_port + len(made)):
        raise InvalidSettings(
            f"HOLDFAST_METRICS_PORT: {len(made)} processes take ports from {settings.metrics_port} on, and"
            f" {settings.port} is the API's; only a single process serves both on one"
        )
    if settings.metrics_port + len(made) - 1 > _LAST_PORT:
        raise InvalidSettings(
            f"HOLDFAST_METRICS_PORT: {len(made)} processes take ports from {settings.metrics_port} on, and {_LAST_PORT}"
            f" is the last; write {_LAST_PORT - len(made) + 1} or less"
        )
    ports = enumerate(made, settings.metrics_port)
    return [evolve(child, environment={"HOLDFAST_METRICS_PORT": str(port)}) for port, child in ports]


def _environment(settings: Settings) -> dict[str, str]:
    """The environment of this process, with what was said on its command line."""
    return {
        **os.environ,
        "HOLDFAST_HOST": settings.host,
        "HOLDFAST_PORT": str(settings.port),
        "HOLDFAST_DATA": str(settings.data),
    }


async def _expect_free_port(settings: Settings) -> None:
    """Raise `CannotListen`. Processes that share a port would not notice a stranger who has it."""
    for listener in await listen(settings.host, settings.port):
        listener.close()


async def _make_tables(environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *HOLDFAST, "migrate", env=environment, stdin=asyncio.subprocess.DEVNULL
    )
    if await process.wait():
        raise NotReady("nothing was started: the tables could not be made, for the reason above")
