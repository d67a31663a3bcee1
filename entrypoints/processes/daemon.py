"""`holdfast up --daemon` and `holdfast stop`."""

import os
import signal
import socket
import subprocess
import time
from typing import Final

from entrypoints.errors import CannotGoOn
from entrypoints.processes.folder import MAIN, Folder
from entrypoints.processes.parent import ENDS_LATE, STAGES
from entrypoints.processes.supervisor import HOLDFAST
from entrypoints.settings import Settings

# Seconds that a start may take: migrations, and servers that start at the same time.
_START_TIMEOUT: Final = 120.0
_LOOK_EVERY: Final = 0.05
# How many lines of a log are shown when the start fails.
_TAIL: Final = 5


class DaemonFailed(CannotGoOn):
    """What runs in the background did not start, or did not stop."""


def start_daemon(settings: Settings) -> list[str]:
    """Start `holdfast up` in the background, and return what to tell when it listens. Raise `DaemonFailed`."""
    folder = Folder(settings.data)
    log = folder.open_log(MAIN)
    begin = os.fstat(log).st_size
    ours, theirs = socket.socketpair()
    with ours, theirs:
        options = [
            *("--host", settings.host, "--port", str(settings.port), "--data", str(settings.data)),
            *("--api", str(settings.api_processes), "--workers", str(settings.worker_processes)),
        ]
        process = subprocess.Popen(  # noqa: S603 - our own command, and no shell
            [*HOLDFAST, "up", *options, "--supervised"],
            stdin=theirs.fileno(),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        os.close(log)
        theirs.close()
        ours.settimeout(_START_TIMEOUT)
        try:
            url = ours.recv(1024).decode().strip()
        except TimeoutError:
            raise DaemonFailed(
                f"it does not listen yet after {_START_TIMEOUT:g} s, and goes on trying; its log is"
                f" {folder.log_file(MAIN)}, and `holdfast stop` ends it"
            ) from None
    if not url:
        with folder.log_file(MAIN).open(errors="replace") as written:
            written.seek(begin)
            tail = "\n".join(written.read().splitlines()[-_TAIL:])
        raise DaemonFailed(f"holdfast did not start:\n{tail}")
    return [
        f"Holdfast listens on {url} (process {process.pid})",
        f"Its logs are in {folder.log_file(MAIN).parent}; `holdfast stop` stops it.",
    ]


def stop_all(settings: Settings) -> str:
    """Stop the `holdfast up` of this data folder, and return what to tell. Raise `DaemonFailed`."""
    folder = Folder(settings.data)
    pid = folder.running().get(MAIN)
    if pid is None:
        raise DaemonFailed(f"no `holdfast up` runs in {settings.data}; name another folder with --data")
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return "stopped"
    except PermissionError:
        raise DaemonFailed(f"process {pid} is another user's: stop it as that user") from None
    give_up_at = time.monotonic() + (STAGES * (settings.shutdown_timeout + 2 * ENDS_LATE)).total_seconds()
    while folder.is_in_use():
        if time.monotonic() > give_up_at:
            raise DaemonFailed(f"process {pid} has not stopped yet; a second `holdfast stop` ends it at once")
        time.sleep(_LOOK_EVERY)
    return f"stopped (process {pid})"
