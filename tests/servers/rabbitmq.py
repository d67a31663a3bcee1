import shutil
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar, Final

from tests.servers.packages import find_rabbitmq
from tests.servers.process import SLOWEST, Process, free_port, plain_environment
from tests.servers.server import Server

_METHOD_FRAME: Final = b"\x01"


class RabbitServer(Server):
    """A node of its own, with its own epmd; `plugins` such as rabbitmq_management are enabled from the start."""

    name: ClassVar[str] = "RabbitMQ"

    def __init__(self, *, config: str = "", plugins: Sequence[str] = ()) -> None:
        self.programs: Final = find_rabbitmq()
        super().__init__()
        self._config = config
        self._plugins = plugins
        self._epmd: Process | None = None
        self.env: dict[str, str] = {}
        """For programs that talk to the node, such as rabbitmq-diagnostics."""

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def _prepare(self) -> None:
        epmd_port, distribution_port = free_port(), free_port()
        (self.folder / "rabbitmq.conf").write_text(
            f"disk_free_limit.absolute = 50MB\nlog.console = true\nlog.console.level = info\n{self._config}\n"
        )
        (self.folder / "enabled_plugins").write_text(f"[{','.join(self._plugins)}].\n")
        (self.folder / "none").mkdir(exist_ok=True)
        home = str(self.folder)
        self.env = plain_environment(
            HOME=home,
            LANG="C.UTF-8",
            ERL_EPMD_PORT=str(epmd_port),
            ERL_EPMD_ADDRESS="127.0.0.1",
            ERL_CRASH_DUMP=f"{home}/erl_crash.dump",
            RABBITMQ_NODENAME=f"holdfast-{self.port}@localhost",
            RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_NODE_PORT=str(self.port),
            RABBITMQ_DIST_PORT=str(distribution_port),
            RABBITMQ_MNESIA_BASE=f"{home}/mnesia",
            RABBITMQ_LOG_BASE=f"{home}/logs",
            RABBITMQ_LOGS="-",
            RABBITMQ_CONFIG_FILE=f"{home}/rabbitmq.conf",
            RABBITMQ_CONFIG_FILES=f"{home}/none",
            RABBITMQ_ADVANCED_CONFIG_FILE=f"{home}/none/advanced.config",
            RABBITMQ_CONF_ENV_FILE=f"{home}/none/rabbitmq-env.conf",
            RABBITMQ_ENABLED_PLUGINS_FILE=f"{home}/enabled_plugins",
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}",
            # The script then becomes the server, instead of being a shell in front of it.
            RUNNING_UNDER_SYSTEMD="true",
        )

    def _build(self) -> Process:
        # Without one of ours, Erlang leaves a daemon behind that outlives every run.
        if (epmd := shutil.which("epmd")) and (self._epmd is None or not self._epmd.running):
            self._epmd = Process(argv=[epmd], log=self.folder / "epmd.log", env=self.env, cwd=self.folder).start()
            self._epmd.wait_for(self._epmd_serves, seconds=10, what="epmd serves")
        return Process(argv=[str(self.programs / "rabbitmq-server")], log=self.log, env=self.env, cwd=self.folder)

    def _epmd_serves(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(self.env["ERL_EPMD_PORT"]))) == 0

    def _serves(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                # Connection.Start
                return connection.recv(11)[:1] == _METHOD_FRAME
        except OSError:
            return False

    def ctl(self, *arguments: str, seconds: float = 30) -> str:
        """What `rabbitmqctl` prints. Raise CalledProcessError, with its output, when it fails."""
        done = subprocess.run(
            [str(self.programs / "rabbitmqctl"), *arguments],
            env=self.env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=SLOWEST * seconds,
            check=True,
        )
        return done.stdout

    def sync(self) -> None:
        """Write every declaration to the disk: one that is younger than three seconds may not survive a kill."""
        self.ctl("eval", "mnesia:sync_log().")

    def close(self) -> None:
        if self._epmd is not None:
            with suppress(TimeoutError):
                self._epmd.kill()
        super().close()
