import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.usage import busy_of, cpu_by_process, memory_by_process, seconds_of

# A process whose child uses half a second of CPU and twenty megabytes, and then waits.
_BUSY = """
import time
kept = bytearray(b"x") * 20_000_000
while time.process_time() < 0.5: pass
print("done", flush=True)
input()
"""
_PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
_STAT = "4711 (a (strange) name) S 1 4711 4711 0 -1 4194560 4000 0 0 0 {} 20 0 1 0 100 0 0"


@pytest.fixture
def parent() -> Iterator[int]:
    """Its id, when its child has done its work."""
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, _BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        yield process.pid
        process.communicate(b"\n", timeout=30)


def test_a_process_is_charged_with_what_its_children_use(parent: int) -> None:
    pids = {"us": os.getpid(), "parent": parent}
    cpu, memory = cpu_by_process(pids), memory_by_process(pids)
    assert 0.45 <= cpu["parent"] < 5
    assert 20 <= memory["parent"] < 200


def test_a_process_that_is_gone_costs_nothing_more() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(timeout=30)
    pids = {"gone": process.pid, "us": os.getpid()}
    assert cpu_by_process(pids)["gone"] == memory_by_process(pids)["gone"] == 0.0
    assert cpu_by_process(pids)["us"] > 0.0


def test_children_that_have_ended_count_and_names_may_hold_anything() -> None:
    assert seconds_of(_STAT.format("100 50 20 30")) == 2.0


def test_a_machine_is_busy_when_it_neither_idles_nor_waits_for_a_disk() -> None:
    assert busy_of("cpu  100 10 40 9000 800 20 20 10 500 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n") == 2.0
