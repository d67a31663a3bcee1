import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from tests.servers.packages import find_pgbouncer
from tests.servers.process import Process, plain_environment
from tests.servers.server import Server


class PgBouncer(Server):
    """A pooler of sessions in front of one database, whose user has no password; `settings` go into its file."""

    name: ClassVar[str] = "PgBouncer"

    def __init__(self, database: str, *, settings: Mapping[str, str] | None = None) -> None:
        self._program = find_pgbouncer()
        super().__init__()
        self._database = urlsplit(database)
        self.given = settings or {}
        self._settings = {"pool_mode": "session", "default_pool_size": "20", **self.given}
        # It refuses to run as root.
        self._runs_as = "nobody" if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        return f"postgresql://{self._database.username}@127.0.0.1:{self.port}{self._database.path}"

    def _prepare(self) -> None:
        name, user = self._database.path.strip("/"), self._database.username
        where = f"host={self._database.hostname} port={self._database.port or 5432} user={user}"
        own = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "any",
            "auth_file": f"{self.folder}/users",
        }
        lines = [f"{name} = {value}" for name, value in (own | self._settings).items()]
        (self.folder / "users").write_text(f'"{user}" "{self._database.password or ""}"\n')
        (self.folder / "pgbouncer.ini").write_text(
            "\n".join(["[databases]", f"{name} = {where} dbname={name}", "[pgbouncer]", *lines, ""])
        )
        if self._runs_as:
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, self._runs_as)

    def _build(self) -> Process:
        return Process(
            argv=[str(self._program), str(self.folder / "pgbouncer.ini")],
            log=self.log,
            env=plain_environment(),
            cwd=Path("/"),
            user=self._runs_as,
        )

    def _serves(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True
