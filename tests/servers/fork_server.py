"""Imports everything that `holdfast` may need, and begins each command as a fork of itself; run as a program, by path.

Importing takes most of the second that a short command takes, and a run of the tests starts hundreds of them.
"""

import gc
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from importlib import import_module
from typing import Any

_PACKAGES = ("domain", "application", "adapters", "entrypoints")
# Files that are programs, and steps that Alembic loads by their paths.
_NOT_IMPORTED = ("__main__", "migrations")


def _import_everything() -> None:
    for package in _PACKAGES:
        names = [module.name for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}.")]
        for name in names:
            if not any(part in _NOT_IMPORTED for part in name.split(".")):
                import_module(name)
    if threading.active_count() > 1:
        raise RuntimeError(f"a fork would lose the threads that imports have started: {threading.enumerate()}")


def _serve(orders: socket.socket) -> bool:
    """Fork whenever an order comes. Return True in each fork, and False when nobody is left to give orders."""
    # The pipe for the status of each child that has not ended.
    running: dict[int, int] = {}
    ended, ending = os.pipe()
    os.set_blocking(ending, False)
    signal.set_wakeup_fd(ending)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([orders, ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            for pid in list(running):
                gone, status = os.waitpid(pid, os.WNOHANG)
                if gone:
                    _tell(running.pop(pid), os.waitstatus_to_exitcode(status))
        if orders in ready:
            text, given, *_ = socket.recv_fds(orders, 65_536, 2)
            if not text:
                return False
            log, told = given
            while not text.endswith(b"\n"):
                text += orders.recv(65_536)
            pid = os.fork()
            if not pid:
                for pipe in (ended, ending, told, *running.values()):
                    os.close(pipe)
                orders.close()
                _become(json.loads(text), log)
                return True
            running[pid] = told
            os.close(log)
            orders.sendall(b"%d\n" % pid)


def _tell(pipe: int, status: int) -> None:
    # Perhaps nobody wants to know any more.
    with suppress(BrokenPipeError):
        os.write(pipe, str(status).encode())
    os.close(pipe)


def _become(order: dict[str, Any], log: int) -> None:
    """Be as a process that was started on its own: with its own session, signals, files, folder and environment."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for given, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(given, number)
    for given in (nothing, log):
        os.close(given)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    sys.argv = order["argv"]


def main() -> None:
    orders = socket.socket(fileno=int(sys.argv[1]))
    # Ctrl-C is for the run.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _import_everything()
    # Nothing of this is garbage: no collection of a fork need look at it, and copy its memory.
    gc.collect()
    gc.freeze()
    if _serve(orders):
        from entrypoints.cli.main import main as holdfast  # noqa: PLC0415 - imported before

        holdfast()


if __name__ == "__main__":
    # The folder of this file, where an installed program has its own.
    sys.path.pop(0)
    main()
