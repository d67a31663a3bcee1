"""`./dev faults`: its output and its exit codes. `test_faults.py` tries some faults."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.dev_command import run_here
from tests.servers import plain_environment
from tests.servers.process import SLOWEST

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--help",), 0, "Exit codes"),
        (("--list", "-k", "redis full"), 0, "Redis is full and evicts nothing\n"),
        (("--cluster", "--list", "-k", "redis"), 0, "The cable of Redis is pulled\n"),
        (("--cluster", "--list", "-k", "redis unicorn"), 2, "no row has all of these words: redis unicorn"),
        (("--list", "-k", "redis unicorn"), 2, "no fault has all of these words: redis unicorn"),
        (("--houses", "-1"), 2, 'faults: Invalid value "-1" for --houses. Must be >= 1'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_it_says_what_can_be_done(
    arguments: tuple[str, ...],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, output = run_here("tests.integration.faults", *arguments, capsys=capsys, monkeypatch=monkeypatch)
    assert (found, said in output) == (status, True), output


def test_where_a_cluster_can_t_be_made_no_row_passes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.faults", "--cluster", "-k", "redis"],
        cwd=ROOT,
        env=plain_environment() | {"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=60 * SLOWEST,
        check=False,
    )
    assert done.returncode == 1
    assert "NOT RUN, none of 1 rows: " in done.stdout
