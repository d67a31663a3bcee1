import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

from tests.servers.process import Process, ServerFailed, free_port, make_folder, remove_folder

_START_SECONDS: Final = 60.0
_TRIES: Final = 5


class Server:
    """A private server on a port and with data of its own, which stay its own when it is killed and started again.

    Its methods block; under load from the same event loop, call them through `asyncio.to_thread`.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[int] = signal.SIGTERM

    def __init__(self) -> None:
        self.folder: Final[Path] = make_folder(self.name.lower())
        self.log: Final[Path] = self.folder / "log"
        self.port = 0
        self._process: Process | None = None

    @property
    def url(self) -> str:
        raise NotImplementedError

    def _prepare(self) -> None:
        """Make what the server needs to start on `self.port`; called again for another port."""

    def _build(self) -> Process:
        raise NotImplementedError

    def _serves(self) -> bool:
        """Whether it answers in its own protocol."""
        raise NotImplementedError

    @property
    def process(self) -> Process:
        if self._process is None:
            raise ServerFailed(f"{self.name} was not started")
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    def start(self) -> Self:
        """Return when it serves. Raise `ServerFailed`, with the end of its log."""
        if self.port:
            self._launch()
            return self
        for attempt in range(1, _TRIES + 1):
            # Another run may take the port between our look and the server's.
            self.port = free_port()
            try:
                self._prepare()
                self._launch()
            except ServerFailed as failure:
                taken = "in use" in str(failure) or "eaddrinuse" in str(failure)
                if attempt == _TRIES or not taken:
                    raise
            else:
                break
        return self

    def _launch(self) -> None:
        self._process = self._build()
        try:
            self._process.start().wait_for(self._serves, seconds=_START_SECONDS, what=f"{self.name} serves")
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """As `kill -9` and the loss of everything in its memory."""
        if self._process is not None:
            self._process.kill()

    def pause(self) -> None:
        """Silent, with its connections open."""
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()

    def stop(self) -> None:
        """As an administrator stops it."""
        self.process.stop(number=self.stop_signal)

    def restart(self) -> Self:
        """On the same port, with the same data, whether it was running, killed or stopped."""
        if self.running:
            self.stop()
        return self.start()

    def close(self) -> None:
        """Killed, and its data removed."""
        self.kill()
        remove_folder(self.folder)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def close_all(servers: Sequence[Server]) -> None:
    for server in servers:
        with suppress(Exception):
            server.close()
