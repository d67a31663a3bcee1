"""The commands of `holdfast`: each has a help, and none waits for libraries that it doesn't use."""

import os
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from cyclopts import App

from application.exports.request import What as ExportedWhat
from application.imports.request import OnError
from application.imports.request import What as ImportedWhat
from application.ports.rows import Format
from entrypoints.cli import exports, imports
from entrypoints.cli.commands import make_app
from entrypoints.cli.output import show_traceback
from tests.service import HOLDFAST

ROOT = Path(__file__).parents[3]
# Each takes a tenth of a second or more to be imported.
SLOW = {
    "aiormq",
    "alembic",
    "asyncpg",
    "dependency_injector",
    "httpcore",
    "quart",
    "redis",
    "sqlalchemy",
    "structlog",
    "uvicorn",
}


def commands(app: App, *names: str) -> Iterator[tuple[str, ...]]:
    yield names
    for name, command in app.resolved_commands().items():
        if not name.startswith("-"):
            yield from commands(command, *names, name)


def imported(*arguments: str) -> tuple[str, set[str]]:
    """What a command prints, and the packages that it imports."""
    done = subprocess.run(
        [HOLDFAST, *arguments],
        env=os.environ | {"PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    modules = (line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:"))
    return done.stdout, {module.partition(".")[0] for module in modules}


def test_there_are_commands() -> None:
    assert {("up",), ("products", "list"), ("dead", "discard")} < set(commands(make_app()))


@pytest.mark.parametrize("command", [*commands(make_app())], ids=lambda command: " ".join(command) or "holdfast")
def test_every_command_shows_its_help(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        make_app()([*command, "--help"], exit_on_error=False)
    usage, _, about = capsys.readouterr().out.partition("\n\n")
    assert not exited.value.code
    assert usage.startswith(" ".join(("Usage: holdfast", *command)))
    # A sentence, and not the first table of options.
    assert about[0].isupper()


def test_the_version_waits_for_nothing_that_commands_need() -> None:
    printed, packages = imported("--version")
    assert printed
    # Without it, nothing would have been measured.
    assert "entrypoints" in packages
    assert packages & (SLOW | {"attrs", "cyclopts", "rich", "msgspec", "asyncio", "domain", "application"}) == set()


@pytest.mark.parametrize("arguments", [("--help",), ("products", "--help"), ("up", "--help")])
def test_no_command_imports_libraries_of_servers_that_it_does_not_use(arguments: tuple[str, ...]) -> None:
    printed, packages = imported(*arguments)
    assert printed
    # Without it, nothing would have been measured.
    assert "cyclopts" in packages
    assert packages & SLOW == set()


def test_a_command_on_a_file_imports_nothing_that_only_servers_need(tmp_path: Path) -> None:
    imported("migrate", "--data", str(tmp_path))
    _, packages = imported("products", "list", "--data", str(tmp_path))
    assert packages & SLOW == {"dependency_injector", "sqlalchemy"}


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert imported("--version")[0].strip() == project["version"]


def test_a_traceback_of_a_command_shows_no_secret_and_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    error = ValueError("\x1b[2J redis://h/0?password=hunter2")
    show_traceback(ValueError, error, None)
    said = capsys.readouterr().err
    assert said == "ValueError: \\x1b[2J redis://h/0?***\n"


def test_the_names_that_commands_have_for_files_are_those_of_the_use_cases() -> None:
    assert get_args(exports.What) == get_args(ExportedWhat)
    assert get_args(imports.What) == get_args(ImportedWhat)
    assert get_args(imports.OnError) == get_args(OnError)
    assert get_args(exports.Format) == get_args(imports.Format) == get_args(Format)
