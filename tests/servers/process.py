import ctypes
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from attrs import define, field

from tests.servers import keeper

# How much slower the machine of a test run may be than a quiet one. Waits for processes are given that much more time.
SLOWEST: Final = 10
_STOP_SECONDS: Final = 15.0
# As <sys/prctl.h> has it.
_PR_SET_PDEATHSIG: Final = 1


class ServerFailed(Exception):
    """A process of a test ended, or did not do in time what it was started for. Holds the end of its log."""


def hear_signals() -> None:
    """Let SIGINT and SIGTERM interrupt this process, so that what it started is ended.

    SIGINT is ignored where a shell has started it in the background, and so it is in its children.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def end_with_parent() -> None:
    """End this process with its parent, and with it everything that it has started, however each of them ends."""
    # Programs that it starts are in its process group, unless they are a `Process`, which is registered by itself.
    os.setpgid(0, 0)
    _tell_keeper("group", os.getpid())
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@define(eq=False)
class _Keeper:
    """One for each process of the run. It ends the registered programs when that process is gone."""

    _pipe: int | None = None
    _lock: threading.Lock = field(factory=threading.Lock)

    def tell(self, verb: str, what: object) -> None:
        # Servers start side by side, each in its own thread.
        with self._lock:
            if self._pipe is None:
                self._pipe = self._begin()
            os.write(self._pipe, f"{verb} {what}\n".encode())

    def _begin(self) -> int:
        theirs, ours = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__], stdin=theirs, start_new_session=True, cwd="/"
        )
        os.close(theirs)
        # It outlives this process by design, so suppress the warning that it was not waited for.
        process.returncode = 0
        return ours


_tell_keeper: Final = _Keeper().tell


def make_folder(name: str) -> Path:
    """A folder that every user may pass through, gone when the run is."""
    folder = Path(tempfile.mkdtemp(prefix=f"holdfast-test-{name}-"))
    folder.chmod(0o711)
    _tell_keeper("folder", folder)
    return folder


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _tell_keeper("removed", folder)


def free_port() -> int:
    """Below the ports that the system gives to clients, so that a stopped server finds its port free again."""
    for _ in range(200):
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerFailed("no free port between 15000 and 32000 was found in 200 tries")


def wait_until(met: Callable[[], bool], *, seconds: float, what: str) -> None:
    """For synchronous code. Raise TimeoutError when `what` was not met in `SLOWEST` times these seconds."""
    deadline = time.monotonic() + SLOWEST * seconds
    while not met():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {SLOWEST * seconds:g} s")
        time.sleep(0.02)


@define(kw_only=True, eq=False)
class Process:
    """A program that tests may stop, freeze and kill; it and its children end with the run at the latest."""

    argv: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(repr=False)
    """All of it: nothing is inherited, so that the developer's own settings don't reach a test."""
    cwd: Path | None = None
    user: str | None = None
    _process: "subprocess.Popen[bytes] | Any" = None

    def start(self) -> Self:
        if self.running:
            raise ServerFailed(f"{self.argv[0]} is running already, as process {self.pid}")
        with self.log.open("ab") as log:
            self._process = self._begin(log.fileno())
        _tell_keeper("process", self._process.pid)
        return self

    def _begin(self, log: int) -> "subprocess.Popen[bytes] | Any":
        entry = pwd.getpwnam(self.user) if self.user else None
        return subprocess.Popen(
            self.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(self.env),
            cwd=self.cwd,
            # Ctrl-C is for the run, which then ends its processes in its own order.
            start_new_session=True,
            user=entry.pw_uid if entry else None,
            group=entry.pw_gid if entry else None,
            extra_groups=[] if entry else None,
        )

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ServerFailed(f"{self.argv[0]} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def output(self, *, last: int = 100_000) -> str:
        """The end of what it has printed in all its lives."""
        return self.log.read_text(errors="replace")[-last:] if self.log.exists() else ""

    def send(self, number: int) -> None:
        """To the program alone."""
        os.kill(self.pid, number)

    def wait(self, *, seconds: float = _STOP_SECONDS) -> int:
        """Its exit status. Raise TimeoutError when it goes on for `SLOWEST` times these seconds."""
        if self._process is None:
            raise ServerFailed(f"{self.argv[0]} was not started")
        try:
            status = self._process.wait(SLOWEST * seconds)
        except subprocess.TimeoutExpired:
            waited = f"{SLOWEST * seconds:g} s"
            raise TimeoutError(f"{self.argv[0]} still runs after {waited}; its log ends:\n{self.tail()}") from None
        _tell_keeper("ended", self._process.pid)
        return status

    def tail(self) -> str:
        return self.output(last=3_000)

    def kill(self) -> None:
        """SIGKILL, to its children too. When this returns, none of them holds anything any more."""
        if self._process is not None and self._process.returncode is None:
            killed = keeper.kill_tree(self.pid)
            self.wait()
            wait_until(lambda: not keeper.living(killed), seconds=_STOP_SECONDS, what=f"all of {self.argv[0]} ended")

    def pause(self) -> None:
        """Freeze it and its children: connections stay open and nothing answers."""
        keeper.freeze_tree(self.pid)

    def resume(self) -> None:
        keeper.thaw_tree(self.pid)

    def stop(self, *, number: int = signal.SIGTERM, seconds: float = _STOP_SECONDS) -> int:
        """Ask it to end, and wait; killed when it doesn't, with a TimeoutError that says so."""
        if self.running:
            self.send(number)
        try:
            return self.wait(seconds=seconds)
        except TimeoutError:
            self.kill()
            raise

    def wait_for(self, met: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Raise `ServerFailed` when it ends or the time is over before `met`."""

        def met_or_ended() -> bool:
            if not self.running:
                raise ServerFailed(
                    f"{self.argv[0]} ended with {self.wait()} before {what}; its log ends:\n{self.tail()}"
                )
            return met()

        try:
            wait_until(met_or_ended, seconds=seconds, what=what)
        except TimeoutError as late:
            raise ServerFailed(f"{self.argv[0]}: {late}; its log ends:\n{self.tail()}") from None


def plain_environment(**more: str) -> dict[str, str]:
    """Enough for a program to run, and nothing of the developer's own settings."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR", "HOME") if name in os.environ}
    return kept | more
