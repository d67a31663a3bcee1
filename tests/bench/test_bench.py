"""`./dev bench`, run as a person runs it."""

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import plain_environment, wait_until

_ROOT = Path(__file__).parents[2]
# The machine may be busy.
_SECONDS = 240


@contextmanager
def bench(*arguments: str, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """With a folder for temporary files of its own, so that what it leaves behind is seen."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        cwd=_ROOT,
        env=plain_environment(TMPDIR=str(folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        # A test that has failed must not wait for as long as it was to be measured.
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=60)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that PostgreSQL's own user may pass through, which pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.mark.usefixtures("server_programs", "wrk_program")
def test_placing_is_measured_from_end_to_end(folder: Path) -> None:
    with bench("place", "--seconds", "1", "--json", folder=folder) as process:
        told, errors = process.communicate(timeout=_SECONDS)

    assert process.returncode == 0, errors + told
    result = json.loads(told.splitlines()[-1])
    assert result["scenario"] == "place"
    assert result["invariants"] == "kept"
    assert result["refused_or_broken"] == 0
    for rate in ("accepted_per_s", "completed_per_s", "ceiling_per_s", "unbatched_per_s"):
        assert result[rate] > 0
    assert 0 < result["p50_ms"] <= result["p99_ms"] <= result["p999_ms"]
    costs = result["cpu_ms_per_order"]
    assert costs.keys() == {"total", "api", "postgresql", "redis", "rabbitmq"}
    assert costs["api"] > 0
    assert result["memory_mb"]["api"] > 10
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("server_programs", "wrk_program")
def test_a_worker_works_off_what_waits_for_it(folder: Path) -> None:
    with bench("backlog", "--messages", "3000", "--seconds", "2", "--json", folder=folder) as process:
        told, errors = process.communicate(timeout=_SECONDS)

    assert process.returncode == 0, errors
    result = json.loads(told.splitlines()[-1])
    assert result["invariants"] == "kept"
    assert result["completed_per_s"] > 0
    figures = result["figures"]
    assert figures["messages_waiting"] == 3000
    assert 0 < figures["messages_done"] <= 3000
    # Each order's request waits many times.
    assert 0 < figures["orders_paid"] <= 3000 / 20
    assert 10 < figures["worker_ready_mb"] <= figures["worker_highest_mb"]
    assert figures["worker_at_the_end_mb"] <= figures["worker_highest_mb"]
    assert result["cpu_ms_per_order"]["worker"] > 0
    assert result["memory_mb"]["rabbitmq"] > 10
    for missing in ("accepted_per_s", "ceiling_per_s", "unbatched_per_s", "p50_ms"):
        assert result[missing] is None
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("server_programs", "wrk_program")
def test_an_interrupted_run_leaves_nothing_behind(folder: Path) -> None:
    with bench("place", "--seconds", "3600", "--json", folder=folder) as process:
        # Its servers have a folder each, and are being started.
        wait_until(lambda: len(list(folder.iterdir())) >= 3, seconds=60, what="it has begun")
        process.send_signal(signal.SIGINT)
        told, errors = process.communicate(timeout=_SECONDS)

    assert process.returncode == 130, errors
    assert told == ""
    assert "interrupted" in errors
    assert list(folder.iterdir()) == []


def test_what_is_asked_for_wrongly_is_refused(tmp_path: Path) -> None:
    with bench("place", "--seconds", "0", folder=tmp_path) as process:
        told, errors = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "--seconds" in errors
    assert told == ""
