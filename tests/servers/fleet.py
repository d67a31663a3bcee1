"""One set of servers for a whole run: the run's first process starts them when a test of any worker needs them."""

import json
import os
import secrets
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from tests.servers.packages import ServerMissing, find_or_install
from tests.servers.postgres import PostgresServer
from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import RedisServer
from tests.servers.server import Server, close_all

VARIABLES: Final[Mapping[str, str]] = MappingProxyType(
    {"PostgreSQL": "DATABASE_URL", "Redis": "REDIS_URL", "RabbitMQ": "AMQP_URL"}
)
# The shared servers are never killed, so PostgreSQL need not wait for its disk. A test that kills a server has its own,
# which is durable.
_UNSYNCED: Final[Mapping[str, str]] = MappingProxyType({"fsync": "off", "full_page_writes": "off"})
_KINDS: Final[Mapping[str, Callable[[], Server]]] = MappingProxyType(
    {"PostgreSQL": partial(PostgresServer, settings=_UNSYNCED), "Redis": RedisServer, "RabbitMQ": RabbitServer}
)
_PORTS: Final[Mapping[str, int]] = MappingProxyType({"PostgreSQL": 5432, "Redis": 6379, "RabbitMQ": 5672})
_SQLITE: Final = "sqlite"
# Longer than an installation may take.
_ANSWER_SECONDS: Final = 1_200.0


def _named(name: str) -> str | None:
    """The URL of the server that the environment names; a database of another kind is no PostgreSQL."""
    url = os.environ.get(VARIABLES[name], "")
    return None if not url or url.startswith(_SQLITE) else url


def is_ours(name: str) -> bool:
    """Whether the server is started for the run, and ends with it."""
    return _named(name) is None


def _reached(name: str, url: str) -> str:
    parts = urlsplit(url)
    # `hostname` and `port` are all that is said of it: the rest may hold a password.
    host, port = parts.hostname or "127.0.0.1", parts.port or _PORTS[name]
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        raise ConnectionError(
            f"{VARIABLES[name]} names {name} at {host}:{port}, which can't be reached ({error}): "
            f"start it, or unset {VARIABLES[name]} and the tests start their own"
        ) from None
    return url


class Fleet(socketserver.ThreadingTCPServer):
    """Answers `Harbour.ask`. Each thing is had once, in a thread of its own, so that servers start side by side."""

    daemon_threads = True

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.token: Final = secrets.token_hex(16)
        self._say = say
        self._had: dict[tuple[str, str], Future[str]] = {}
        self._servers: list[Server] = []
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def address(self) -> str:
        """What a worker is given, to find this fleet."""
        return f"{self.server_address[1]} {self.token}"

    def have(self, what: str, name: str) -> Future[str]:
        with self._lock:
            if (what, name) not in self._had:
                self._had[what, name] = Future()
                threading.Thread(target=self._get, args=(what, name, self._had[what, name]), daemon=True).start()
            return self._had[what, name]

    def _get(self, what: str, name: str, result: "Future[str]") -> None:
        try:
            result.set_result(self._url(name) if what == "url" else str(find_or_install(name, self._say)))
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is asked for
            result.set_exception(error)

    def _url(self, name: str) -> str:
        if url := _named(name):
            return _reached(name, url)
        self.have("program", name).result()
        server = _KINDS[name]()
        self._servers.append(server)
        return server.start().url

    def missing(self) -> dict[str, str]:
        """The servers that were needed and couldn't be started, each with its reason."""
        with self._lock:
            ended = {name: had.exception() for (_, name), had in self._had.items() if had.done()}
        return {name: str(error) for name, error in ended.items() if error is not None}

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        close_all(self._servers)


class _Answer(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        fleet = self.server
        assert isinstance(fleet, Fleet)
        asked: dict[str, str] = json.loads(self.rfile.readline())
        if not secrets.compare_digest(asked["token"], fleet.token):
            return
        had = fleet.have(asked["what"], asked["name"])
        answer: dict[str, Any] = {}
        if asked["wait"]:
            try:
                answer = {"had": had.result()}
            except ServerMissing as missing:
                answer = {"missing": str(missing)}
            except Exception as failure:  # noqa: BLE001 - whatever it was, the test that needs the server tells it
                answer = {"failed": str(failure) or repr(failure)}
        self.wfile.write(json.dumps(answer).encode() + b"\n")


class Harbour:
    """The way to the fleet from any process of the run."""

    def __init__(self, address: str) -> None:
        port, self._token = address.split()
        self._port = int(port)

    def _ask(self, what: str, name: str, *, wait: bool) -> dict[str, str]:
        with socket.create_connection(("127.0.0.1", self._port), timeout=_ANSWER_SECONDS) as connection:
            asked = {"token": self._token, "what": what, "name": name, "wait": "yes" if wait else ""}
            connection.sendall(json.dumps(asked).encode() + b"\n")
            with connection.makefile("r") as lines:
                answer: dict[str, str] = json.loads(lines.readline())
        return answer

    def call_for(self, what: str, name: str) -> None:
        """Have it made ready; don't wait for it."""
        self._ask(what, name, wait=False)

    def ask(self, what: str, name: str) -> str:
        """The `url` of a server that all tests share, or where the `program` of one is.

        Raise `ServerMissing` where it can't be had, and `ConnectionError` where it should work and doesn't.
        """
        answer = self._ask(what, name, wait=True)
        if "missing" in answer:
            raise ServerMissing(answer["missing"])
        if "failed" in answer:
            raise ConnectionError(answer["failed"])
        return answer["had"]
