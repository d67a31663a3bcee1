"""How processes are kept running and stopped, with small programs in place of Holdfast's own."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import define, evolve, field

from entrypoints.loops import Stop
from entrypoints.processes.folder import Folder
from entrypoints.processes.supervisor import Child, DiedAtStart, Supervisor
from entrypoints.programs.processes import children
from entrypoints.settings import InvalidSettings, Settings

PATIENCE = 60.0
ROOT = str(Path(__file__).parents[3])
# Says that it listens, and on SIGTERM notes its name and ends.
PROGRAM = """
import os, signal, sys
def end(*_):
    os.write(os.open("ended", os.O_WRONLY | os.O_APPEND | os.O_CREAT), (sys.argv[1] + "\\n").encode())
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[1] == "stubborn" else end)
print("begins", flush=True)
os.write(0, b"http://here\\n")
while True:
    signal.pause()
"""


@define(eq=False)
class Kept:
    folder: Folder
    stop: Stop = field(factory=Stop)
    ready: asyncio.Event = field(factory=asyncio.Event)
    urls: list[str] = field(factory=list)

    def on_ready(self, url: str) -> None:
        self.urls.append(url)
        self.ready.set()

    def pids(self) -> dict[str, int]:
        return self.folder._pids()  # noqa: SLF001 - nobody holds the lock here


@asynccontextmanager
async def kept(
    folder: Path, *children: Child, graceful_timeout: float = PATIENCE, program: str = PROGRAM
) -> AsyncIterator[Kept]:
    found = Kept(Folder(folder))
    supervisor = Supervisor(
        children,
        {**os.environ},
        found.folder,
        True,  # noqa: FBT003 - log files
        timedelta(seconds=graceful_timeout),
        program=(sys.executable, "-c", f"import os; os.chdir({str(folder)!r})\n{program}"),
    )
    running = asyncio.create_task(supervisor.run(found.stop, found.on_ready))
    try:
        async with asyncio.timeout(PATIENCE):
            ready = asyncio.create_task(found.ready.wait())
            await asyncio.wait({ready, running}, return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
        yield found
    finally:
        found.stop.set()
        async with asyncio.timeout(2 * PATIENCE):
            await running


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - other processes set it
            await asyncio.sleep(0.01)


def child(name: str, stage: int = 0) -> Child:
    return Child(name, (name,), stage, listens=True)


async def test_a_process_that_dies_is_started_again(tmp_path: Path) -> None:
    async with kept(tmp_path, child("api-1"), child("api-2")) as found:
        before = found.pids()
        os.kill(before["api-1"], signal.SIGKILL)
        await until(lambda: found.pids().get("api-1", before["api-1"]) != before["api-1"])
        assert found.pids()["api-2"] == before["api-2"]
        log = found.folder.log_file("api-1")
        await until(lambda: log.read_text() == "begins\nbegins\n")
    # Told once, by all of them.
    assert found.urls == ["http://here"]


async def test_those_of_one_stage_have_ended_before_the_next_are_stopped(tmp_path: Path) -> None:
    async with kept(tmp_path, child("worker", 1), child("api-1", 0), child("api-2", 0)) as found:
        pass
    ended = (tmp_path / "ended").read_text().split()
    assert sorted(ended[:2]) == ["api-1", "api-2"]
    assert ended[2:] == ["worker"]
    assert found.pids() == {}


async def test_one_that_does_not_stop_is_killed_and_keeps_nobody_from_stopping(tmp_path: Path) -> None:
    async with kept(tmp_path, child("stubborn", 0), child("worker", 1), graceful_timeout=0.2) as found:
        pid = found.pids()["stubborn"]
    assert not _lives(pid)
    assert (tmp_path / "ended").read_text().split() == ["worker"]


async def test_one_that_refuses_to_work_at_the_start_stops_all(tmp_path: Path) -> None:
    """It would refuse each time. One that is killed, or dies later, is started again."""
    program = PROGRAM.replace(
        'print("begins"', 'sys.argv[1] == "wrong" and sys.exit("holdfast: no key")\nprint("begins"'
    )
    with pytest.raises(DiedAtStart, match=r"wrong ended with status 1 before .*: no key \("):
        async with kept(tmp_path, child("wrong"), child("worker", 1), program=program):
            pass
    assert Folder(tmp_path)._pids() == {}  # noqa: SLF001 - nobody holds the lock here


async def test_a_child_ends_with_its_parent_even_if_it_hangs(tmp_path: Path) -> None:
    """The parent is killed, and so can stop nothing itself. The child's main thread is stuck and hears no signal."""
    script = """
import os, signal, subprocess, sys, time
from datetime import timedelta
import entrypoints.processes.parent as parent
if sys.argv[1:] == ["child"]:
    signal.signal(signal.SIGTERM, lambda *_: None)
    parent.end_with_parent(timedelta(seconds=0.1) - parent.ENDS_LATE)
    print(os.getpid(), flush=True)
    while True:
        time.sleep(1)
import socket
ours, theirs = socket.socketpair()
process = subprocess.Popen([sys.executable, __file__, "child"], stdin=theirs.fileno(), start_new_session=True)
theirs.close()
time.sleep(600)
"""
    file = tmp_path / "parent.py"
    file.write_text(script)
    parent = await asyncio.create_subprocess_exec(
        sys.executable, str(file), stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": ROOT}
    )
    assert parent.stdout is not None
    async with asyncio.timeout(PATIENCE):
        pid = int(await parent.stdout.readline())
        parent.kill()
        await parent.wait()
    await until(lambda: not _lives(pid))


def _lives(pid: int) -> bool:
    # One that has ended stays as a zombie where nobody waits for it.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_each_process_has_a_port_of_its_own_for_its_metrics(tmp_path: Path) -> None:
    settings = Settings(
        data=tmp_path, database_url="postgresql://there/shop", api_processes=2, worker_processes=1, metrics_port=9464
    )
    ports = {child.name: child.environment["HOLDFAST_METRICS_PORT"] for child in children(settings)}
    assert ports == {"worker-1": "9464", "api-1": "9465", "api-2": "9466"}
    assert all(child.environment == {} for child in children(evolve(settings, metrics_port=None)))
    assert len(children(evolve(settings, metrics_port=65533))) == 3
    with pytest.raises(InvalidSettings, match=r"HOLDFAST_METRICS_PORT: 3 processes .* 8000 is the API's"):
        children(evolve(settings, metrics_port=7998))
    with pytest.raises(InvalidSettings, match=r"HOLDFAST_METRICS_PORT: 3 processes .* write 65533 or less"):
        children(evolve(settings, metrics_port=65534))
