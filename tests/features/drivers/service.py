from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import httpx
from attrs import define, field

from tests.features.drivers.servers import Servers
from tests.servers import Process, free_port, plain_environment
from tests.servers.forked import ForkedHoldfast
from tests.service import HOLDFAST

_TIMEOUT = 30.0


@define(eq=False)
class Service:
    """The real process, embedded: `holdfast up` on a free port and a data folder of its own.

    It is started when it is first needed, and again when a scenario needs other settings.
    """

    data: Path
    # The servers that it runs on, if it does: settings that every scenario has.
    servers: Servers | None = None
    _port: int = field(factory=free_port, init=False)
    _process: Process | None = field(default=None, init=False)
    _settings: Mapping[str, str] | None = field(default=None, init=False)

    @property
    def database(self) -> str:
        return self.servers.database if self.servers is not None else f"sqlite:///{self.data / 'holdfast.db'}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def run_with(self, **settings: str) -> None:
        """Run the service with exactly these settings; if it has to restart, it stops gracefully first."""
        if self._process is not None and self._process.running and self._settings == settings:
            return
        self.stop()
        self._start(settings)

    def kill(self) -> None:
        """SIGKILL, like a power cut: no work is finished."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def stop(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        code = process.stop(seconds=_TIMEOUT)
        assert code == 0, f"the service ended with {code}:\n{process.tail()}"

    def _start(self, settings: Mapping[str, str]) -> None:
        servers = self.servers.settings if self.servers is not None else {}
        self.data.mkdir(parents=True, exist_ok=True)
        self._process = ForkedHoldfast(
            argv=[str(HOLDFAST), "up", "--port", str(self._port), "--data", str(self.data)],
            env=plain_environment(**servers, **{"HOLDFAST_AUTH": "open", **settings}),
            # Its own folder, so that the developer's .env is not read.
            cwd=self.data,
            log=self.data / "output.txt",
        ).start()
        self._settings = settings
        try:
            self._process.wait_for(self._is_ready, seconds=_TIMEOUT, what="holdfast is ready")
        except BaseException:
            # The next scenario starts a new service instead of using what is left of this one.
            self.kill()
            raise

    def _is_ready(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/health/ready", timeout=5).status_code == httpx.codes.OK
        return False
