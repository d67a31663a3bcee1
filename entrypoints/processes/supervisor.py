"""Starts processes, starts them again when they die, and stops them in order."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Final

import structlog
from attrs import define, field, frozen

from entrypoints.errors import CannotGoOn
from entrypoints.loops import Stop, pause
from entrypoints.processes.folder import Folder

# How this command line is started: not by its name, which may be that of another installation.
HOLDFAST: Final = (sys.executable, "-m", "entrypoints.cli")

# Seconds before a process that died is started again. The pause doubles each time, unless the process lived for long.
_SHORTEST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_LIVED_LONG: Final = 60.0


class DiedAtStart(CannotGoOn):
    """A process refused to work, as it does with wrong settings, or without what it needs."""


@frozen
class Child:
    """A process: its name here, its command, and when it stops. Those of a lower stage have ended before."""

    name: str
    command: tuple[str, ...]
    stage: int
    # Whether it says that it is ready.
    listens: bool = False
    # What this one alone is told.
    environment: Mapping[str, str] = field(factory=dict, eq=False)


@define(eq=False)
class Supervisor:
    """Keeps each of its children running until the stop."""

    _children: Sequence[Child]
    _environment: Mapping[str, str]
    _folder: Folder
    # Whether each child has a log file of its own, or writes to where this process writes.
    _log_files: bool
    # After the signal, before it is killed.
    _graceful_timeout: timedelta
    # What runs a command of a child.
    _program: Sequence[str] = field(default=HOLDFAST, kw_only=True)
    _log: structlog.stdlib.BoundLogger = field(factory=lambda: structlog.get_logger("holdfast.processes"), init=False)
    _silent: set[str] = field(init=False)
    # Why the start failed.
    _failure: DiedAtStart | None = field(default=None, init=False)
    _failed: Stop = field(factory=Stop, init=False)

    def __attrs_post_init__(self) -> None:
        self._silent = {child.name for child in self._children if child.listens}

    async def run(self, stop: Stop, on_ready: Callable[[str], None]) -> None:
        """Return when all have ended. `on_ready` is called once, with the URL, when all that listen do so.

        Raise `DiedAtStart` if one refuses to work before that: it would do so each time. The others are stopped then.
        """
        stages = sorted({child.stage for child in self._children})
        stops = {stage: Stop() for stage in stages}
        async with asyncio.TaskGroup() as tasks:
            kept = {
                child: tasks.create_task(self._keep(child, stops[child.stage], on_ready)) for child in self._children
            }
            await self._failed.until_first(stop.wait())
            for stage in stages:
                stops[stage].set()
                await asyncio.wait([task for child, task in kept.items() if child.stage == stage])
        if self._failure is not None:
            raise self._failure

    async def _keep(self, child: Child, stop: Stop, on_ready: Callable[[str], None]) -> None:
        now = asyncio.get_running_loop().time
        failures = 0
        while not stop.is_set():
            begun = now()
            status = await self._run(child, stop, on_ready)
            if stop.is_set():
                break
            if self._silent and status > 0:
                self._failure = self._died_at_start(child, status)
                self._failed.set()
                break
            failures = 0 if now() - begun > _LIVED_LONG else failures + 1
            seconds = min(_SHORTEST_PAUSE * 2.0 ** min(max(failures - 1, 0), 10), _LONGEST_PAUSE)
            self._log.error("a process died; it is started again", name=child.name, status=status, retry_in=seconds)
            await pause(seconds, stop)

    def _died_at_start(self, child: Child, status: int) -> DiedAtStart:
        where = "see above"
        if self._log_files:
            where = f"{self._folder.last_line(child.name)} ({self._folder.log_file(child.name)})"
        ended = f"{child.name} ended with status {status} before all were ready, so all were stopped"
        return DiedAtStart(f"{ended}: {where}")

    async def _run(self, child: Child, stop: Stop, on_ready: Callable[[str], None]) -> int:
        """The exit status."""
        async with self._started(child, on_ready) as process:
            ended = asyncio.create_task(process.wait())
            asked = asyncio.create_task(stop.wait())
            await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            if not ended.done():
                _send(process, signal.SIGTERM)
                await asyncio.wait({ended}, timeout=self._graceful_timeout.total_seconds())
            if not ended.done():
                self._log.error("a process did not stop in time and was killed", name=child.name)
                _send(process, signal.SIGKILL)
            return await ended

    @asynccontextmanager
    async def _started(
        self, child: Child, on_ready: Callable[[str], None]
    ) -> AsyncGenerator[asyncio.subprocess.Process, None]:
        ours, theirs = socket.socketpair()
        log = self._folder.open_log(child.name) if self._log_files else None
        try:
            process = await asyncio.create_subprocess_exec(
                *self._program,
                *child.command,
                stdin=theirs.fileno(),
                stdout=log,
                stderr=log if log is None else subprocess.STDOUT,
                env={**self._environment, **child.environment},
                # A signal from the terminal goes to this process alone, which stops the others in their order.
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            if log is not None:
                os.close(log)
        reading = asyncio.create_task(self._hear(child, ours, on_ready))
        self._folder.write_pid(child.name, process.pid)
        try:
            yield process
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
            # Not before the child has ended, or this process does.
            ours.close()
            self._folder.forget_pid(child.name)

    async def _hear(self, child: Child, ours: socket.socket, on_ready: Callable[[str], None]) -> None:
        ours.setblocking(False)  # noqa: FBT003 - of the standard library
        said = b""
        while not said.endswith(b"\n"):
            try:
                more = await asyncio.get_running_loop().sock_recv(ours, 1024)
            except OSError:
                return
            if not more:
                return
            said += more
        if child.name in self._silent:
            self._silent.discard(child.name)
            if not self._silent:
                on_ready(said.decode().strip())


def _send(process: asyncio.subprocess.Process, number: int) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(number)
