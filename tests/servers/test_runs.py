"""How whole runs of pytest end: tried on runs of their own, where Redis is missing and can't be installed."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import plain_environment, wait_until

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
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
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
        timeout=60,
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
