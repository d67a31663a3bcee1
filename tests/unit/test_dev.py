"""`./dev`: which packages are installed for which command. A network is not needed: what installs is replaced."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USE = [("up",), ("holdfast", "doctor")]
WORK = [("test",), ("check",), ("bench",), ("simulate",), ("faults",), ("format",)]

# It keeps what it "installs" in a file: the lock that was the last one, and how often.
_UV = """#!/bin/sh
echo "$@" | sed -n 's/.*requirements.\\(runtime\\|dev\\).txt.*bootstrap.*/\\1/p' >>installed
"""
_ANYTHING = "#!/bin/sh\nexit 0\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("dev", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    client = Path("clients/python/pyproject.toml")
    (tmp_path / client).parent.mkdir(parents=True)
    shutil.copy(ROOT / client, tmp_path / client)
    return tmp_path


@pytest.fixture
def with_venv(checkout: Path) -> Path:
    programs = checkout / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "uv", "holdfast", "ruff", "mypy", "lint-imports"):
        (programs / name).write_text(_UV if name == "uv" else _ANYTHING)
        (programs / name).chmod(0o755)
    return checkout


def dev(checkout: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [checkout / "dev", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHON": sys.executable, **environment},
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def installed(checkout: Path) -> list[str]:
    return (checkout / "installed").read_text().split()


@pytest.mark.parametrize("command", USE)
def test_who_uses_it_gets_what_it_needs_to_run(with_venv: Path, command: tuple[str, ...]) -> None:
    for _ in range(2):
        assert dev(with_venv, *command).returncode == 0
    assert installed(with_venv) == ["runtime"]


@pytest.mark.parametrize("command", WORK)
def test_who_works_on_it_gets_everything(with_venv: Path, command: tuple[str, ...]) -> None:
    for _ in range(2):
        assert dev(with_venv, *command).returncode == 0
    assert installed(with_venv) == ["dev"]


def test_nothing_is_installed_anew_by_turns(with_venv: Path) -> None:
    for command in ("up", "test", "up", "test", "up"):
        assert dev(with_venv, command).returncode == 0
    assert installed(with_venv) == ["runtime", "dev"]


@pytest.mark.parametrize(("commands", "lock"), [(("up",), "runtime"), (("test", "up"), "dev")])
def test_a_changed_lock_is_installed_with_as_many_packages_as_before(
    with_venv: Path, commands: tuple[str, ...], lock: str
) -> None:
    for command in commands:
        dev(with_venv, command)
    with (with_venv / "requirements" / f"{lock}.txt").open("a") as file:
        file.write("# changed\n")
    for _ in range(2):
        assert dev(with_venv, "up").returncode == 0
    assert installed(with_venv) == [lock, lock]


def test_half_an_installation_is_not_taken_for_a_whole_one(with_venv: Path) -> None:
    uv = with_venv / ".venv" / "bin" / "uv"
    whole = uv.read_text()
    dev(with_venv, "up")
    with (with_venv / "requirements" / "runtime.txt").open("a") as lock:
        lock.write("# changed\n")
    uv.write_text("#!/bin/sh\nprintf 'a long story\\n  the disk is full\\n\\n' >&2\nexit 2\n")
    failed = dev(with_venv, "up")
    assert failed.returncode == 1
    shutil.copytree(ROOT / "requirements", with_venv / "requirements", dirs_exist_ok=True)
    uv.write_text(whole)
    assert dev(with_venv, "up").returncode == 0
    assert installed(with_venv) == ["runtime", "runtime"]
    [_, said] = failed.stderr.splitlines()
    assert said.startswith("dev: the packages can't be installed; this needs a network")
    assert said.endswith("(the disk is full)")


def test_without_a_network_one_line_says_what_is_missing(checkout: Path) -> None:
    # No other way to a package is left than this index, which is not there.
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:1/", "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}
    done = dev(checkout, "up", **nowhere)
    assert done.returncode == 1
    [setting_up, said] = done.stderr.splitlines()
    assert setting_up.startswith("dev: setting up .venv")
    assert said.startswith("dev: the packages can't be installed; this needs a network, or a package index that")
