"""How whole runs of pytest end: tried on runs of their own, where Redis is missing and can't be installed."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.servers import Process, keeper, plain_environment, wait_until
from tests.servers.process import SLOWEST

_ROOT = Path(__file__).parents[2]
_TESTS = """
def test_with_redis(redis_url): ...
def test_with_a_redis_of_its_own(own_redis): ...
def test_without(): ...
"""


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    file = tmp_path / "test_example.py"
    file.write_text(_TESTS)
    # Those take each process of such a run longer than the tests do.
    without = " ".join(f"-p no:{name}" for name in ("schemathesis", "anyio", "pytest-bdd", "hypothesispytest"))
    (tmp_path / "pytest.ini").write_text(f"[pytest]\naddopts = {without}\n")
    return file


_KILLED = """
import os, pathlib, signal

def test_with_redis(own_redis):
    pathlib.Path(__file__).with_name("told").write_text(f"{own_redis.port} {own_redis.folder}")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run(tests: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.conftest",
            "-c",
            str(tests.parent / "pytest.ini"),
            *options,
            tests,
        ],
        cwd=_ROOT,
        env=plain_environment() | {"PATH": "/nowhere"} | environment,
        capture_output=True,
        text=True,
        timeout=60 * SLOWEST,
        check=False,
    )


@pytest.mark.parametrize("workers", ["-n0", "-n1"])
def test_tests_without_their_server_are_skipped_and_named_loudly(tests: Path, workers: str) -> None:
    done = run(tests, workers)

    assert done.returncode == 0, done.stdout
    assert "1 passed, 2 skipped" in done.stdout
    _, _, summary = done.stdout.partition("TESTS THAT DID NOT RUN")
    assert "Redis could not be started: Redis is not installed" in summary
    assert "apt-get install redis-server" in summary
    assert "test_example.py::test_with_redis:" in summary
    assert "test_example.py::test_with_a_redis_of_its_own:" in summary
    assert "test_without" not in summary


def test_a_missing_server_is_a_failure_in_ci(tests: Path) -> None:
    done = run(tests, "-n0", CI="true")

    assert done.returncode == 1
    assert "1 passed, 2 errors" in done.stdout
    assert "Redis could not be started" in done.stdout


def test_a_named_server_that_is_not_there_is_a_failure_that_shows_no_password(tests: Path) -> None:
    done = run(tests, "-n0", REDIS_URL="redis://:hush@127.0.0.1:1/0")

    assert done.returncode == 1
    assert "REDIS_URL names Redis at 127.0.0.1:1, which can't be reached" in done.stdout
    assert "hush" not in done.stdout + done.stderr


def test_private_servers_end_with_a_run_that_is_killed(tests: Path, server_programs: None) -> None:
    tests.write_text(_KILLED)
    done = run(tests, "-n0", PATH=os.environ["PATH"])
    assert done.returncode == -9, done.stdout

    port, folder = (tests.parent / "told").read_text().split()

    def gone() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(port))) != 0 and not Path(folder).exists()

    wait_until(gone, seconds=10, what="its Redis and its folder are gone")


# A loop without an end, a wait for a program, and a wait of an event loop.
_ENDLESS = """
import asyncio, os, pathlib, subprocess, sys, time

def note():
    pathlib.Path(__file__).with_name(f"{os.getpid()}.pid").touch()

def test_busy():
    note()
    while True: time.sleep(0.001)

def test_program():
    note()
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    pathlib.Path(__file__).with_name(f"{program.pid}.pid").touch()
    program.wait()

def test_event_loop():
    note()
    asyncio.run(asyncio.sleep(3600))
"""


def in_background(*argv: object, folder: Path) -> Process:
    """As a shell starts it with `&`, or nohup: it ignores SIGINT, and so do its children."""
    return Process(
        argv=["/bin/sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, *map(str, argv)],
        env=plain_environment(),
        log=folder / "log",
        cwd=_ROOT,
    ).start()


def expect_all_gone(process: Process, others: Iterable[int] = ()) -> None:
    with suppress(TimeoutError):
        process.wait(seconds=60)
    wait_until(lambda: not keeper.living([process.pid, *others]), seconds=30, what=f"it and {list(others)} are gone")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_run_in_the_background_ends_with_all_that_it_has_started(tests: Path, number: signal.Signals) -> None:
    tests.write_text(_ENDLESS)
    options = ("-p", "tests.conftest", "-c", tests.parent / "pytest.ini", "-n3", tests)
    run = in_background("-m", "pytest", *options, folder=tests.parent)

    def noted() -> list[int]:
        return [int(file.stem) for file in tests.parent.glob("*.pid")]

    try:
        # Three workers and one program.
        run.wait_for(lambda: len(noted()) == 4, seconds=60, what="all tests run")
        run.send(number)
        expect_all_gone(run, noted())
    finally:
        run.kill()


def hears(process: Process, number: signal.Signals) -> bool:
    """Whether the program has a handler of its own."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (number - 1) & 1)


@pytest.mark.parametrize(
    ("arguments", "programs", "number"),
    [
        (("-m", "tests.simulation", "--seeds", "1000000"), 0, signal.SIGINT),
        (("-m", "tests.simulation", "--seeds", "1000000"), 0, signal.SIGTERM),
        # The keeper and `holdfast up`.
        (("-m", "bench", "embedded", "--seconds", "600"), 2, signal.SIGTERM),
    ],
    ids=["simulate-SIGINT", "simulate-SIGTERM", "bench-SIGTERM"],
)
def test_a_command_in_the_background_ends_with_all_that_it_has_started(
    tmp_path: Path, arguments: tuple[str, ...], programs: int, number: signal.Signals, wrk_program: Path
) -> None:
    command = in_background(*arguments, folder=tmp_path)
    try:
        command.wait_for(
            lambda: hears(command, number) and len(keeper.tree(command.pid)) > programs,
            seconds=60,
            what="it is at work",
        )
        started = keeper.tree(command.pid)
        command.send(number)
        if not programs:
            # Python ignores what is raised in a destructor, and a simulation has many: whoever asks again is heard.
            try:
                command.wait(seconds=2)
            except TimeoutError:
                command.send(number)
        expect_all_gone(command, started)
    finally:
        command.kill()
