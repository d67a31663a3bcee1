"""The health check of containers."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from entrypoints import alive
from entrypoints.heartbeat import noted_alive

# What takes long to import.
HEAVY = {"asyncio", "sqlalchemy", "attrs", "cyclopts", "aio_pika", "structlog", "pathlib", "domain", "application"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_a_program_lives_when_it_has_noted_so() -> None:
    assert alive.main([]) == 1
    alive.note("worker")
    assert alive.main([]) == 0
    assert alive.main(["worker"]) == 0
    assert alive.main(["worker", "relay"]) == 1


@pytest.mark.parametrize(
    "noted", ["", "x", "-1e400", "nan", f"{10.0**12:020.3f}", "0000000000000000.000"], ids=["empty", *"abcde"]
)
def test_what_is_no_note_of_a_living_program_is_not_believed(folder: Path, noted: str) -> None:
    """Garbage, a moment in the future, as before a restart of the machine, and one that is long past."""
    alive.note("worker")
    [file] = folder.iterdir()
    file.write_text(noted)
    assert alive.main(["worker"]) == 1


def test_a_note_replaces_whatever_was_there(folder: Path) -> None:
    alive.note("worker")
    [file] = folder.iterdir()
    file.write_text("0000000000000000.000")
    alive.note("worker")
    assert alive.main(["worker"]) == 0


def test_a_link_is_not_followed(folder: Path) -> None:
    alive.note("worker")
    [file] = folder.iterdir()
    target = folder / "target"
    file.rename(target)
    file.symlink_to(target)
    before = target.read_bytes()
    with pytest.raises(OSError, match="symbolic links"):
        alive.note("worker")
    assert target.read_bytes() == before


async def test_a_program_notes_that_it_lives_while_it_runs_even_where_it_can_write_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(60), noted_alive("relay"):
        while alive.main(["relay"]):  # noqa: ASYNC110 - it is written by another task
            await asyncio.sleep(0)
    assert alive.seconds_since("relay") is None
    monkeypatch.setenv("TMPDIR", str(folder / "nowhere"))
    async with noted_alive("relay"):
        await asyncio.sleep(0)


def test_the_check_imports_nearly_nothing() -> None:
    script = "import sys, entrypoints.alive; print(' '.join({name.split('.')[0] for name in sys.modules}))"
    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=240)
    assert not HEAVY & set(printed.stdout.split())
