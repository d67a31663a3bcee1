import socket
import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path
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
                return _answers(connection)
        except OSError:
            return False


class TlsRedisServer(RedisServer):
    """Takes connections with TLS alone, under a certificate of its own that nobody else has signed."""

    def __init__(self, *, openssl: Path) -> None:
        super().__init__()
        self._openssl = openssl
        self.certificate = self.folder / "certificate.pem"
        self._key = self.folder / "key.pem"

    @property
    def url(self) -> str:
        return f"rediss://127.0.0.1:{self.port}/0?ssl_ca_certs={self.certificate}"

    def _prepare(self) -> None:
        if self.certificate.exists():
            return
        subprocess.run(
            [
                str(self._openssl),
                *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(self._key), "-out", str(self.certificate)),
            ],
            check=True,
            capture_output=True,
            timeout=240,
        )

    def _build(self) -> Process:
        return Process(
            argv=[
                str(self._program),
                *("--port", "0", "--tls-port", str(self.port), "--bind", "127.0.0.1", "--tls-auth-clients", "no"),
                *("--tls-cert-file", str(self.certificate), "--tls-key-file", str(self._key)),
                *("--save", "", "--appendonly", "no", "--dir", str(self.folder)),
            ],
            log=self.log,
            env=plain_environment(),
        )

    def _serves(self) -> bool:
        trusting = ssl.create_default_context(cafile=str(self.certificate))
        try:
            with (
                socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain,
                trusting.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
            ):
                return _answers(connection)
        except OSError:
            return False


def _answers(connection: socket.socket) -> bool:
    connection.sendall(b"PING\r\n")
    return connection.recv(16).startswith(b"+PONG")
