import os
import shutil
import signal
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import quote

from tests.servers.packages import find_postgres
from tests.servers.process import Process, ServerFailed, plain_environment
from tests.servers.server import Server

_PROTOCOL_3: Final = struct.pack("!i", 3 << 16)


class PostgresServer(Server):
    """Durable as in production; `settings` go into postgresql.conf. Without a password everybody is trusted.

    One that is `like` another begins with a copy of its data, and its settings; the other has been stopped by then.
    """

    name: ClassVar[str] = "PostgreSQL"
    # "Fast" shutdown: what is connected is thrown out, as packages do it.
    stop_signal: ClassVar[int] = signal.SIGINT

    def __init__(
        self,
        *,
        settings: Mapping[str, str] | None = None,
        user: str = "postgres",
        password: str | None = None,
        like: "PostgresServer | None" = None,
    ) -> None:
        self._programs = find_postgres()
        super().__init__()
        self._settings = {
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": "''",
            "max_connections": "200",
            **(settings or {}),
        }
        self.data: Final[Path] = self.folder / "data"
        # It refuses to run as root.
        self._runs_as = "nobody" if os.geteuid() == 0 else None
        self._user, self._password = user, password
        self._like = like

    @property
    def url(self) -> str:
        secret = f":{quote(self._password, safe='')}" if self._password else ""
        return f"postgresql://{self._user}{secret}@127.0.0.1:{self.port}/postgres"

    def _run(self, program: str, *arguments: str) -> Process:
        return Process(
            argv=[str(self._programs / program), *arguments],
            log=self.log,
            env=plain_environment(LC_ALL="C"),
            cwd=Path("/"),
            user=self._runs_as,
        )

    def _prepare(self) -> None:
        if self.data.exists():
            return
        if self._like is not None:
            self._copy(self._like)
            return
        self.data.mkdir(mode=0o700)
        password = self.folder / "password"
        password.write_text(self._password or "unused")
        for path in (self.data, password):
            if self._runs_as:
                shutil.chown(path, self._runs_as)
        made = self._run(
            "initdb",
            *("-D", str(self.data), "-E", "UTF8", "--no-sync", "-U", self._user, "--pwfile", str(password)),
            *("-A", "scram-sha-256" if self._password else "trust"),
        )
        if status := made.start().wait(seconds=60):
            raise ServerFailed(f"initdb ended with {status}: {made.tail()}")
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = {value}\n" for name, value in self._settings.items())

    def _copy(self, other: "PostgresServer") -> None:
        if other.running:
            raise ServerFailed("the data of a server that is running can't be copied")
        shutil.copytree(other.data, self.data)
        if self._runs_as:
            for path in (self.data, *self.data.rglob("*")):
                shutil.chown(path, self._runs_as)

    def _build(self) -> Process:
        return self._run("postgres", "-D", str(self.data), "-p", str(self.port))

    def _serves(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                # A start-up packet: "R" asks for a password or says that none is needed; "E" is "starting up".
                body = _PROTOCOL_3 + f"user\0{self._user}\0database\0postgres\0\0".encode()
                connection.sendall(struct.pack("!i", len(body) + 4) + body)
                return connection.recv(1) == b"R"
        except OSError:
            return False
