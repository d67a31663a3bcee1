import socket
from collections.abc import Sequence
from typing import ClassVar

from tests.servers.packages import find_redis
from tests.servers.process import Process, plain_environment
from tests.servers.server import Server


class RedisServer(Server):
    """In memory alone; `options` are those of its command line."""

    name: ClassVar[str] = "Redis"

    def __init__(self, *, options: Sequence[str] = ()) -> None:
        self._program = find_redis()
        super().__init__()
        self._options = options

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _build(self) -> Process:
        return Process(
            argv=[
                str(self._program),
                *("--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--dir", str(self.folder)),
                *self._options,
            ],
            log=self.log,
            env=plain_environment(),
        )

    def _serves(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
