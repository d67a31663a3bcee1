"""The servers of the cluster: each is one program, or two, on one machine."""

import shutil
import signal
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml
from attrs import define, field

from tests.integration.faults.cluster.network import Machine, run
from tests.servers.packages import find_postgres, find_rabbitmq, find_redis
from tests.servers.process import Process, plain_environment

# docs/operations.md tells to set these, and to run these commands, line by line; whoever changes one changes it there.
PATRONI: Final[dict[str, object]] = {
    "ttl": 20,
    "loop_wait": 5,
    "retry_timeout": 5,
    "synchronous_mode": "quorum",
    "failsafe_mode": True,
    "postgresql": {"use_pg_rewind": True, "parameters": {"wal_log_hints": "on", "max_connections": 100}},
}
ETCD: Final = ("--heartbeat-interval", "200", "--election-timeout", "2000", "--pre-vote")
DATABASE: Final = (
    "CREATE ROLE holdfast LOGIN PASSWORD 'secret-of-the-shop'",
    "GRANT pg_monitor TO holdfast",
    "CREATE DATABASE holdfast OWNER holdfast",
)
BROKER_USER: Final = (
    "rabbitmqctl add_user holdfast secret-of-the-shop",
    "rabbitmqctl set_permissions holdfast '^holdfast[.]' '^(holdfast[.].*|amq[.]default)$' '^holdfast[.]'",
    "rabbitmqctl set_user_tags holdfast monitoring",
)
# Who may connect, and as whom.
PASSWORD: Final = "secret-of-the-shop"
_OF_THE_CLUSTER: Final = "secret-of-the-cluster"
RABBITMQ: Final = ("cluster_partition_handling = pause_minority", "net_ticktime = 8", "queue_leader_locator = balanced")
_STOP_SECONDS: Final = 60.0


@define(eq=False)
class Member:
    """A server on its machine. Killed or stopped and started again, it keeps its data."""

    machine: Machine
    folder: Path
    _programs: list[Process] = field(factory=list, init=False)

    # A part of the command line of each of its processes.
    words: ClassVar[tuple[str, ...]] = ()

    def build(self) -> list[Process]:
        raise NotImplementedError

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        if not self._programs:
            self._programs = self.build()
        for program in self._programs:
            if not program.running:
                program.start()

    def kill(self) -> None:
        assert self.machine.send(signal.SIGKILL, *self.words), f"nothing of {self.words} ran on {self.machine.name}"
        for program in self._programs:
            program.wait()

    def stop(self) -> None:
        """As an administrator stops it."""
        for program in reversed(self._programs):
            program.stop(seconds=_STOP_SECONDS)

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        assert self.machine.freeze(*self.words), f"nothing of {self.words} ran on {self.machine.name}"

    def thaw(self) -> None:
        self.machine.thaw(*self.words)

    def log(self) -> str:
        return "\n".join(program.tail() for program in self._programs)

    def _program(self, *argv: str, log: str, env: Mapping[str, str] | None = None, as_nobody: bool = False) -> Process:
        return Process(
            argv=self.machine.command(*argv, as_nobody=as_nobody),
            log=self.folder / f"{log}.log",
            env=env or plain_environment(),
            cwd=Path("/"),
        )


@define(eq=False)
class Etcd(Member):
    _all: Sequence[Machine] = field(kw_only=True)
    words: ClassVar[tuple[str, ...]] = ("etcd --name",)

    def build(self) -> list[Process]:
        here = f"http://{self.machine.address}"
        return [
            self._program(
                *("etcd", "--name", self.machine.name, "--data-dir", str(self.folder / "data"), *ETCD),
                *("--listen-peer-urls", f"{here}:2380", "--initial-advertise-peer-urls", f"{here}:2380"),
                *("--listen-client-urls", f"{here}:2379", "--advertise-client-urls", f"{here}:2379"),
                "--initial-cluster",
                ",".join(f"{machine.name}=http://{machine.address}:2380" for machine in self._all),
                log="etcd",
            )
        ]


@define(eq=False)
class Postgres(Member):
    """Patroni, and the server that it starts."""

    _all: Sequence[Machine] = field(kw_only=True)
    _patroni: Path = field(kw_only=True)
    words: ClassVar[tuple[str, ...]] = ("patroni", "postgres")

    @property
    def url(self) -> str:
        """Of the server, as its superuser."""
        return f"postgresql://postgres:{_OF_THE_CLUSTER}@{self.machine.address}:5432/postgres"

    @property
    def shop_url(self) -> str:
        """Of the database of the shop, as the superuser."""
        return self.url.removesuffix("postgres") + "holdfast"

    @property
    def data(self) -> str:
        return f"{self.folder}/data"

    def build(self) -> list[Process]:
        self._write(self.settings())
        shutil.chown(self.folder, "nobody")
        self.folder.chmod(0o700)
        # Programs of this machine alone come first. Patroni hands no other variable on.
        env = plain_environment()
        env["PATH"] = f"{self.folder}:{env['PATH']}"
        return [self._program(str(self._patroni), str(self._file), log="patroni", env=env, as_nobody=True)]

    def begin_anew(self, bootstrap: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        """Make this node, which is stopped as all others are, the one by which the cluster begins the next time.

        It does so by other means than `initdb`, and PostgreSQL has these parameters more then.
        """
        settings = self.settings()
        settings["bootstrap"] |= bootstrap
        settings["bootstrap"]["dcs"]["postgresql"]["parameters"] |= parameters
        self._write(settings)
        ctl = self._patroni.with_name("patronictl")
        answers = "holdfast\nYes I am aware\n"
        run(*self.machine.command(str(ctl), "-c", str(self._file), "remove", "holdfast"), said=answers)

    @property
    def _file(self) -> Path:
        return self.folder / "patroni.yaml"

    def _write(self, settings: dict[str, Any]) -> None:
        settings["postgresql"]["bin_dir"] = str(find_postgres())
        self._file.write_text(yaml.safe_dump(settings))
        shutil.chown(self._file, "nobody")

    def settings(self) -> dict[str, Any]:
        here, name = self.machine.address, self.machine.name
        return {
            "scope": "holdfast",
            "name": name,
            "restapi": {"listen": f"{here}:8008", "connect_address": f"{here}:8008"},
            "etcd3": {"hosts": [f"{machine.address}:2379" for machine in self._all]},
            "bootstrap": {"dcs": deepcopy(PATRONI), "initdb": [{"encoding": "UTF8"}, {"locale": "C"}]},
            "postgresql": {
                "listen": f"{here}:5432",
                "connect_address": f"{here}:5432",
                "data_dir": self.data,
                "pgpass": str(self.folder / "pgpass"),
                "authentication": {
                    "superuser": {"username": "postgres", "password": _OF_THE_CLUSTER},
                    "replication": {"username": "replicator", "password": _OF_THE_CLUSTER},
                    "rewind": {"username": "rewinder", "password": _OF_THE_CLUSTER},
                },
                "pg_hba": [
                    # Not `peer`, since the tests run it as another user.
                    "local all postgres trust",
                    "host all all 10.77.0.0/24 scram-sha-256",
                    "host replication replicator 10.77.0.0/24 scram-sha-256",
                ],
                "parameters": {"unix_socket_directories": str(self.folder)},
            },
        }


@define(eq=False)
class Rabbit(Member):
    """A node, and the epmd of its machine."""

    _all: Sequence[Machine] = field(kw_only=True)
    words: ClassVar[tuple[str, ...]] = ("rabbit", "epmd", "erl_child_setup", "inet_gethost")

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{self.machine.address}:5672/"

    @property
    def node(self) -> str:
        return f"rabbit@{self.machine.name}"

    @property
    def env(self) -> dict[str, str]:
        """For the node, and for programs that talk to it."""
        home = str(self.folder)
        return plain_environment(
            HOME=home,
            LANG="C.UTF-8",
            ERL_CRASH_DUMP=f"{home}/erl_crash.dump",
            RABBITMQ_NODENAME=self.node,
            RABBITMQ_MNESIA_BASE=f"{home}/mnesia",
            RABBITMQ_LOG_BASE=f"{home}/logs",
            RABBITMQ_LOGS="-",
            RABBITMQ_CONFIG_FILE=f"{home}/rabbitmq.conf",
            RABBITMQ_CONFIG_FILES=f"{home}/none",
            RABBITMQ_ADVANCED_CONFIG_FILE=f"{home}/none/advanced.config",
            RABBITMQ_CONF_ENV_FILE=f"{home}/none/rabbitmq-env.conf",
            RABBITMQ_ENABLED_PLUGINS_FILE=f"{home}/enabled_plugins",
            # The script then becomes the server, instead of being a shell in front of it.
            RUNNING_UNDER_SYSTEMD="true",
        )

    def build(self) -> list[Process]:
        lines = [
            *RABBITMQ,
            "disk_free_limit.absolute = 50MB",
            "log.console = true",
            "log.console.level = info",
            "loopback_users.guest = false",
            "cluster_formation.peer_discovery_backend = classic_config",
            *(f"cluster_formation.classic_config.nodes.{n} = rabbit@{m.name}" for n, m in enumerate(self._all, 1)),
        ]
        (self.folder / "rabbitmq.conf").write_text("\n".join([*lines, ""]))
        # As `rabbitmq-plugins enable rabbitmq_management` writes it.
        (self.folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        (self.folder / "none").mkdir(exist_ok=True)
        cookie = self.folder / ".erlang.cookie"
        cookie.write_text("holdfast")
        cookie.chmod(0o400)
        return [
            self._program("epmd", log="epmd", env=self.env),
            self._program(str(find_rabbitmq() / "rabbitmq-server"), log="rabbitmq", env=self.env),
        ]


@define(eq=False)
class Redis(Member):
    words: ClassVar[tuple[str, ...]] = ("redis-server",)

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@{self.machine.address}:6379/0"

    def build(self) -> list[Process]:
        return [
            self._program(
                *(str(find_redis()), "--bind", self.machine.address, "--requirepass", PASSWORD),
                *("--save", "", "--appendonly", "no", "--dir", str(self.folder)),
                log="redis",
            )
        ]


@define(eq=False)
class HaProxy(Member):
    """On the machine of those who use it, so that it is no machine that can die alone."""

    _all: Sequence[Machine] = field(kw_only=True)
    words: ClassVar[tuple[str, ...]] = ("haproxy",)
    postgres_port: ClassVar[int] = 5000
    rabbitmq_port: ClassVar[int] = 5001

    def build(self) -> list[Process]:
        settings = self.folder / "haproxy.cfg"
        postgres = [f"  server {m.name} {m.address}:5432 check port 8008" for m in self._all]
        rabbitmq = [f"  server {m.name} {m.address}:5672 check" for m in self._all]
        settings.write_text(
            "\n".join(
                [
                    "global",
                    "  maxconn 1000",
                    "defaults",
                    "  mode tcp",
                    "  timeout connect 1s",
                    "  retries 2",
                    "  option redispatch 1",
                    "  timeout client 1h",
                    "  timeout server 1h",
                    "  default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions",
                    "listen postgres",
                    f"  bind 127.0.0.1:{self.postgres_port}",
                    "  option httpchk OPTIONS /primary",
                    "  http-check expect status 200",
                    *postgres,
                    "listen rabbitmq",
                    f"  bind 127.0.0.1:{self.rabbitmq_port}",
                    *rabbitmq,
                    "",
                ]
            )
        )
        return [self._program("/usr/sbin/haproxy", "-f", str(settings), "-db", log="haproxy")]
