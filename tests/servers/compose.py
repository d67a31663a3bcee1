"""What compose.yaml describes, run without a container engine: each service by its own command, on this machine."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import asyncpg
import yaml

from tests.servers.packages import find_nginx, find_postgres
from tests.servers.postgres import PostgresServer
from tests.servers.process import SLOWEST, Process, ServerFailed, free_port, plain_environment, wait_until
from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import RedisServer
from tests.servers.server import Server

ROOT: Final = Path(__file__).parents[2]
_HEALTHY_SECONDS: Final = 90.0
# Where the ports of the containers are, seen from other containers.
_PORTS: Final = {"postgres": 5432, "redis": 6379, "rabbitmq": 5672, "nginx": 8000}
_API_PORT: Final = 8000


def read_compose(**variables: str) -> dict[str, Any]:
    """As the engine sees it: with anchors merged, and then each variable, or its default, put into the values."""
    compose: dict[str, Any] = _filled(yaml.safe_load((ROOT / "compose.yaml").read_text()), variables)
    return compose


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    match value:
        case dict():
            return {key: _filled(each, variables) for key, each in value.items()}
        case list():
            return [_filled(each, variables) for each in value]
        case str():
            return re.sub(r"\$\{(\w+):([-+])([^}]*)\}", partial(_one_filled, variables), value)
        case _:
            return value


def _one_filled(variables: Mapping[str, str], found: re.Match[str]) -> str:
    said = variables.get(found[1], "")
    if found[2] == "+":
        return found[3] if said else ""
    return said or found[3]


def dockerfile_instruction(name: str) -> str:
    """The last one of its kind, which is the one that holds."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.partition(" ")[2].strip() for line in text.splitlines() if line.startswith(f"{name} ")][-1]


def nginx_config(*, port: int, replicas: Collection[int], folder: Path) -> str:
    """deploy/nginx.conf, with the addresses and folders of this machine for those of the containers."""
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    # There is no resolver of Docker's here. What it would answer is one address for each replica.
    begin = f"server api:{_API_PORT} resolve"
    assert text.count(begin) == 1
    before, _, after = text.partition(begin)
    options, _, after = after.partition(";")
    servers = "\n        ".join(f"server 127.0.0.1:{port}{options};" for port in replicas)
    text = before + servers + after
    return text.replace("listen 8000", f"listen 127.0.0.1:{port}").replace("/tmp/", f"{folder}/")  # noqa: S108 - it is replaced


def _names(name: str, service: Mapping[str, Any]) -> list[str]:
    """As the engine names containers: api-1, api-2 and api-3."""
    replicas = service.get("deploy", {}).get("replicas")
    return [name] if replicas is None else [f"{name}-{number}" for number in range(1, replicas + 1)]


async def _create_database(url: str, name: str) -> None:
    """As the image does at its first start."""
    connection = await asyncpg.connect(url, timeout=SLOWEST * 30)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


class NativeCompose:
    """Starts the services as the engine does: in the order of `depends_on`, waiting for each health check."""

    def __init__(self, folder: Path, **variables: str) -> None:
        everything: Mapping[str, dict[str, Any]] = read_compose(**variables)["services"]
        described = {name: service for name, service in everything.items() if "profiles" not in service}
        # The replicas of each service, by their names here.
        self._replicas: Final = {name: _names(name, service) for name, service in described.items()}
        self.services: Final[Mapping[str, dict[str, Any]]] = {
            replica: service for name, service in described.items() for replica in self._replicas[name]
        }
        self.ports: Final = {name: free_port() for name in self.services if name.startswith("api") or name == "nginx"}
        self.processes: Final[dict[str, Process]] = {}
        self._servers: Final[dict[str, Server]] = {}
        self._folder = folder

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['nginx']}"

    def up(self) -> None:
        """Raise `ServerFailed` when a service ends, fails, or doesn't become healthy."""
        up: dict[str, Future[None]] = {}
        with ThreadPoolExecutor(len(self.services)) as threads:
            # Those that depend on others come after them in the file, so what is waited for has been begun.
            for name in self.services:
                up[name] = threads.submit(self._start, name, up)
        for started in up.values():
            started.result()

    def logs(self) -> str:
        return "\n".join(f"--- {name}\n{process.tail()}" for name, process in self.processes.items())

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
        for server in self._servers.values():
            server.close()

    def _start(self, name: str, up: Mapping[str, Future[None]]) -> None:
        service = self.services[name]
        for needed in service.get("depends_on", ()):
            for replica in self._replicas[needed]:
                up[replica].result(timeout=_HEALTHY_SECONDS)
        if name in {"postgres", "redis", "rabbitmq"}:
            self._start_server(name, service)
        else:
            self._start_process(name, service)
        if service.get("restart") == "no":
            process = self.processes[name]
            if status := process.wait(seconds=60):
                raise ServerFailed(f"{name} ended with {status}:\n{process.tail()}")
        else:
            self._wait_until_healthy(name, service)

    def _start_server(self, name: str, service: Mapping[str, Any]) -> None:
        environment = service.get("environment", {})
        server: Server
        match name:
            case "postgres":
                server = PostgresServer(password=environment["POSTGRES_PASSWORD"], user=environment["POSTGRES_USER"])
            case "redis":
                server = RedisServer(options=service["command"][1:])
            case _:
                user, password = environment["RABBITMQ_DEFAULT_USER"], environment["RABBITMQ_DEFAULT_PASS"]
                server = RabbitServer(
                    config=f"default_user = {user}\ndefault_pass = {password}", plugins=["rabbitmq_management_agent"]
                )
        self._servers[name] = server
        server.start()
        self.ports[name] = server.port
        if name == "postgres":
            asyncio.run(_create_database(server.url, environment["POSTGRES_DB"]))

    def _start_process(self, name: str, service: Mapping[str, Any]) -> None:
        folder = self._folder / name
        folder.mkdir()
        if name == "nginx":
            config = folder / "nginx.conf"
            replicas = [port for api, port in self.ports.items() if api.startswith("api")]
            config.write_text(nginx_config(port=self.ports["nginx"], replicas=replicas, folder=folder))
            argv = [str(find_nginx()), "-c", str(config), *service["command"][1:]]
        else:
            argv = [*json.loads(dockerfile_instruction("ENTRYPOINT")), *service["command"]]
        self.processes[name] = Process(
            argv=self._here(name, argv), env=self._environment(name), log=folder / "log", cwd=folder
        ).start()

    def _environment(self, name: str) -> dict[str, str]:
        said = {
            key: self._here_text(name, str(value)) for key, value in self.services[name].get("environment", {}).items()
        }
        programs = [Path(sys.executable).parent, find_postgres()]
        environment = plain_environment(**said)
        if isinstance(server := self._servers.get(name), RabbitServer):
            environment = {**server.env, **environment, "HOME": server.env["HOME"]}
            programs.append(server.programs)
        environment["PATH"] = os.pathsep.join([*map(str, programs), environment["PATH"]])
        return environment

    def _here(self, name: str, argv: Sequence[str]) -> list[str]:
        return [self._here_text(name, argument) for argument in argv]

    def _here_text(self, name: str, text: str) -> str:
        """The addresses and folders of this machine, for those of the containers."""
        for host, port in _PORTS.items():
            if host in self.ports:
                text = re.sub(rf"\b{host}:{port}\b", f"127.0.0.1:{self.ports[host]}", text)
        if name in self.ports and (name.startswith("api") or name == "nginx"):
            text = re.sub(rf"(?<!\d){_API_PORT}(?!\d)", str(self.ports[name]), text)
        return text.replace(dockerfile_instruction("WORKDIR"), str(self._folder / name))

    def _wait_until_healthy(self, name: str, service: Mapping[str, Any]) -> None:
        kind, *argv = service["healthcheck"]["test"]
        assert kind == "CMD", f"the health check of {name} needs a shell"
        said = ""

        def healthy() -> bool:
            nonlocal said
            done = subprocess.run(
                self._health_command(name, argv),
                env=self._environment(name),
                cwd=self._folder,
                capture_output=True,
                text=True,
                timeout=SLOWEST * 30,
                check=False,
            )
            said = done.stdout + done.stderr
            if (process := self.processes.get(name)) and not process.running:
                raise ServerFailed(f"{name} ended with {process.wait()}:\n{process.tail()}")
            return done.returncode == 0

        try:
            wait_until(healthy, seconds=_HEALTHY_SECONDS, what=f"{name} is healthy")
        except TimeoutError as late:
            raise ServerFailed(f"{late}; {' '.join(argv)} says: {said}") from None

    def _health_command(self, name: str, argv: Sequence[str]) -> list[str]:
        # Inside their containers these servers are on their usual ports, which their clients need not be told.
        match argv[0]:
            case "pg_isready":
                return [*argv, f"--port={self.ports[name]}"]
            case "redis-cli":
                return [argv[0], "-p", str(self.ports[name]), *argv[1:]]
            case _:
                return self._here(name, argv)
