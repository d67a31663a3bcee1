"""The pid files and log files in a data folder."""

import fcntl
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import frozen

from entrypoints.database import NotReady, make_folder

# The process that `holdfast stop` stops.
MAIN: Final = "up"


@frozen
class Folder:
    """Which processes of one `holdfast up` there are. Its lock tells whether any of that is still true."""

    data: Path

    @property
    def lock(self) -> Path:
        return self.data / "lock"

    def log_file(self, name: str) -> Path:
        return self.data / "log" / f"{name}.log"

    def open_log(self, name: str) -> int:
        """Return a descriptor of the log file, at its end. Raise `NotReady`."""
        file = self.log_file(name)
        make_folder(file.parent)
        try:
            # Whoever rotates the file may truncate it: each line goes to the end of what there is.
            return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise NotReady(f"{file} can't be written: {error.strerror}; name another folder with --data") from None

    def last_line(self, name: str) -> str:
        """Return the last line of the log, which says why a command ended."""
        try:
            lines = self.log_file(name).read_text(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line for line in reversed(lines) if line.strip()), "").removeprefix("holdfast: ")

    def write_pid(self, name: str, pid: int) -> None:
        """Raise `NotReady`."""
        file = self._pid_file(name)
        make_folder(file.parent)
        try:
            file.write_text(f"{pid}\n")
        except OSError as error:
            raise NotReady(f"{file} can't be written: {error.strerror}; name another folder with --data") from None

    def forget_pid(self, name: str) -> None:
        with suppress(OSError):
            self._pid_file(name).unlink()

    def forget_all(self) -> None:
        """Remove what a process has left that was killed."""
        for name in self._pids():
            self.forget_pid(name)

    def running(self) -> Mapping[str, int]:
        """The pid of each process that runs here, by its name. Empty if there is none."""
        return self._pids() if self.is_in_use() else {}

    def is_in_use(self) -> bool:
        try:
            with self.lock.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _pid_file(self, name: str) -> Path:
        return self.data / "run" / f"{name}.pid"

    def _pids(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for file in sorted((self.data / "run").glob("*.pid")):
            # A file that is being written does not count yet, and one of somebody else is not ours.
            with suppress(OSError, ValueError):
                found[file.stem] = int(file.read_text())
        return found
