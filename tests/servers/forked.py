"""Processes of `holdfast` that begin as forks, which saves each of them the second that it would take to import."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from attrs import define, field

from tests.servers import fork_server
from tests.servers.process import Process, ServerFailed, plain_environment


@define(eq=False)
class _Forked:
    """As `subprocess.Popen`, as far as `Process` uses it. The process is a child of the fork server."""

    args: Sequence[str]
    pid: int
    # Where the fork server writes the exit status.
    _status: int
    returncode: int | None = None
    _lock: threading.Lock = field(factory=threading.Lock)

    def poll(self) -> int | None:
        return self._look(0)

    def wait(self, timeout: float) -> int:
        if (status := self._look(timeout)) is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return status

    def _look(self, seconds: float) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], seconds)[0]:
            with self._lock:
                if self.returncode is None:
                    # A fork server that ended has told nothing.
                    self.returncode = int(os.read(self._status, 32) or -signal.SIGKILL)
        return self.returncode

    def __del__(self) -> None:
        os.close(self._status)


@define(eq=False)
class _ForkServer:
    """One for each process of the run, and for each code that it tries; it ends with that."""

    # The folder of the code. None: that of this process.
    _code: Path | None = None
    _orders: socket.socket | None = field(default=None, init=False)
    # Services are started side by side, each in its own thread.
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def start(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: int) -> _Forked:
        order = json.dumps({"argv": argv, "env": env, "cwd": str(cwd)}).encode() + b"\n"
        status, told = os.pipe()
        try:
            with self._lock:
                if self._orders is None:
                    self._orders = self._begin()
                sent = socket.send_fds(self._orders, [order], [log, told])
                self._orders.sendall(order[sent:])
                answer = self._orders.recv(32)
        finally:
            os.close(told)
        if not answer:
            os.close(status)
            raise ServerFailed("the process that begins holdfast as forks of itself has ended; see the run's output")
        return _Forked(argv, int(answer), status)

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, fork_server.__file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=plain_environment(**({} if self._code is None else {"PYTHONPATH": str(self._code)})),
                cwd="/",
            )
        # It ends with this process, so suppress the warning that it was not waited for.
        process.returncode = 0
        return ours


@cache
def _server(code: Path | None) -> _ForkServer:
    return _ForkServer(code)


@define(kw_only=True, eq=False)
class ForkedHoldfast(Process):
    """The same as the program of its name, whose arguments it has, but that nothing has to be imported first."""

    code: Path | None = None
    """The folder of its code, where that is another release's."""

    def _begin(self, log: int) -> "subprocess.Popen[bytes] | _Forked":
        # What Python reads before it imports anything, a fork can't be given.
        if any(name.startswith(("PYTHON", "LC_")) for name in self.env):
            return super()._begin(log)
        return _server(self.code).start(self.argv, env=self.env, cwd=self.cwd or Path.cwd(), log=log)
