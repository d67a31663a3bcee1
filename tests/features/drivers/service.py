import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx
from attrs import define, field

from tests.features.drivers.servers import Servers

_TIMEOUT = 120.0


@define(eq=False)
class Service:
    """The real process, embedded: `holdfast up` on a free port and a data folder of its own.

    It is started when it is first needed, and again when a scenario needs other settings.
    """

    data: Path
    # The servers that it runs on, if it does: settings that every scenario has.
    servers: Servers | None = None
    _port: int = field(init=False)
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)
    _settings: Mapping[str, str] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]

    @property
    def database(self) -> str:
        return self.servers.database if self.servers is not None else f"sqlite:///{self.data / 'holdfast.db'}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def run_with(self, **settings: str) -> None:
        """Run the service with exactly these settings; if it has to restart, it stops gracefully first."""
        if self._process is not None and self._process.poll() is None and self._settings == settings:
            return
        self.stop()
        self._start(settings)

    def kill(self) -> None:
        """SIGKILL, like a power cut: no work is finished."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(_TIMEOUT)
            self._process = None

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        code = self._process.wait(_TIMEOUT)
        self._process = None
        assert code == 0, f"the service ended with {code}:\n{self._output()}"

    def _start(self, settings: Mapping[str, str]) -> None:
        outside = {name: value for name, value in os.environ.items() if not _is_ours(name)}
        servers = self.servers.settings if self.servers is not None else {}
        self.data.mkdir(parents=True, exist_ok=True)
        holdfast = str(Path(sys.executable).with_name("holdfast"))
        command = [holdfast, "up", "--port", str(self._port), "--data", str(self.data)]
        with (self.data / "output.txt").open("ab") as output:
            # Its own folder, so that the developer's .env is not read.
            self._process = subprocess.Popen(
                command,
                env={**outside, **servers, "HOLDFAST_AUTH": "open", **settings},
                cwd=self.data,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._settings = settings
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            # The next scenario starts a new service instead of using what is left of this one.
            self.kill()
            raise

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]") -> None:
        give_up_at = time.monotonic() + _TIMEOUT
        while not self._is_ready():
            assert process.poll() is None, f"the service did not start:\n{self._output()}"
            assert time.monotonic() < give_up_at, f"the service is not ready:\n{self._output()}"
            time.sleep(0.02)

    def _is_ready(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/health/ready", timeout=5).status_code == httpx.codes.OK
        return False

    def _output(self) -> str:
        return (self.data / "output.txt").read_text(errors="replace")[-5000:]


def _is_ours(name: str) -> bool:
    return name.startswith("HOLDFAST_") or name in {"DATABASE_URL", "REDIS_URL", "AMQP_URL"}
