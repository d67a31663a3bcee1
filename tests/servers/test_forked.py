import os
import signal
from pathlib import Path

import pytest

from tests.servers import Process, ServerFailed, free_port, plain_environment
from tests.servers.forked import ForkedHoldfast
from tests.service import HOLDFAST


def begun(kind: type[Process], folder: Path, *arguments: str, **environment: str) -> Process:
    folder.mkdir(exist_ok=True)
    argv = [str(HOLDFAST), *arguments]
    return kind(argv=argv, env=plain_environment(**environment), log=folder / "log", cwd=folder).start()


@pytest.mark.parametrize("arguments", ["--version", "products list", "dead replay 1.4", "worker"])
def test_a_fork_says_and_returns_what_the_program_does(tmp_path: Path, arguments: str) -> None:
    fork, program = [begun(kind, tmp_path / kind.__name__, *arguments.split()) for kind in (ForkedHoldfast, Process)]
    assert (fork.wait(), fork.output()) == (program.wait(), program.output())


def up(folder: Path) -> Process:
    return begun(ForkedHoldfast, folder, "up", HOLDFAST_DATA="here", HOLDFAST_PORT=str(free_port()))


def test_a_fork_has_a_folder_an_environment_and_a_session_of_its_own(tmp_path: Path) -> None:
    fork = up(tmp_path)
    fork.wait_for(lambda: "http" in fork.output(), seconds=30, what="it serves")
    assert (tmp_path / "here" / "holdfast.db").exists()
    assert os.getsid(fork.pid) == fork.pid
    assert fork.stop() == 0


def test_the_end_of_a_fork_by_a_signal_is_told(tmp_path: Path) -> None:
    fork = up(tmp_path)
    assert fork.running
    fork.kill()
    assert (fork.running, fork.wait()) == (False, -signal.SIGKILL)


def test_a_fork_that_fails_shows_its_log(tmp_path: Path) -> None:
    fork = begun(ForkedHoldfast, tmp_path, "worker")
    with pytest.raises(ServerFailed, match="ended with 2 before it serves; its log ends:\nholdfast: "):
        fork.wait_for(lambda: False, seconds=30, what="it serves")
