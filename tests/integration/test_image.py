"""The Dockerfile and what goes into the image, as far as both can be tried without a container engine."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.servers import plain_environment
from tests.servers.compose import ROOT, dockerfile_instruction

LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
COPIED = [
    source
    for line in LINES
    if line.startswith("COPY ") and "--from=" not in line
    for source in shlex.split(line.removeprefix("COPY "))[:-1]
]
PACKAGES = ("domain", "application", "adapters", "entrypoints")


def test_the_image_runs_without_root_and_has_a_health_check() -> None:
    assert int(dockerfile_instruction("USER")) > 0
    assert json.loads(dockerfile_instruction("ENTRYPOINT")) == ["holdfast"]
    _, _, command = dockerfile_instruction("HEALTHCHECK").partition("CMD ")
    assert json.loads(command) == ["python", "-m", "entrypoints.alive"]


def test_every_stage_begins_with_the_same_python() -> None:
    assert {line.split()[1] for line in LINES if line.startswith("FROM ")} == {"python:3.13-slim"}


@pytest.mark.parametrize("source", COPIED)
def test_what_is_copied_exists_and_is_sent_to_the_engine(source: str) -> None:
    assert (ROOT / source).exists()
    kept = [
        line.removeprefix("!").rstrip("/") for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"
    ]
    assert source.partition("/")[0] in kept


def test_nothing_is_installed_without_its_hash() -> None:
    steps = [
        step.strip() for line in LINES if line.startswith("RUN ") for step in line.removeprefix("RUN ").split("&&")
    ]
    downloads = [step for step in steps if any(word in step for word in ("pip install", "pip sync", "uv build"))]
    [sync] = [step for step in downloads if "pip sync" in step]
    assert sync.endswith("requirements/runtime.txt")
    # Our own wheel was made a line before, and brings nothing along.
    assert all("--require-hashes" in step or "--no-deps" in step for step in downloads)


def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    built = subprocess.run(
        [
            uv,
            "build",
            "--wheel",
            "--no-build-isolation",
            "--offline",
            "--python",
            sys.executable,
            "--out-dir",
            tmp_path,
        ],
        cwd=ROOT,
        env=plain_environment(VIRTUAL_ENV=sys.prefix),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if name.partition("/")[0] in PACKAGES}
    here = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file()
    }
    assert inside == {name for name in here if "__pycache__" not in name}
