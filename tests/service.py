"""The service as its users run it: real processes, on SQLite or on real servers."""

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self
from urllib.request import Request, urlopen
from uuid import UUID

from attrs import define, field
from sqlalchemy import URL

from adapters.payments.simulated.file_ledger import open_file_ledger
from adapters.sql.core.engine import create_engine, sqlite_url
from adapters.sql.unit_of_work import SqlUnitOfWork
from domain.ids import PaymentId
from tests import invariants
from tests.servers import Process, free_port, plain_environment
from tests.servers.forked import ForkedHoldfast
from tests.servers.process import SLOWEST

HOLDFAST: Final = Path(sys.executable).with_name("holdfast")
_READY_SECONDS: Final = 30.0


@define(kw_only=True, eq=False)
class Service:
    """One or more processes of Holdfast with the same settings. Stopped and started again, they keep their data."""

    folder: Path
    settings: dict[str, str] = field(factory=dict, repr=False)
    host: str = "127.0.0.1"
    port: int = field(factory=free_port)
    program: Sequence[str] = (str(HOLDFAST),)
    kind: Callable[..., Process] = ForkedHoldfast
    """How its processes begin: a fork is `holdfast`, whatever the program is called."""
    processes: dict[str, Process] = field(factory=dict, init=False)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def database(self) -> str | URL:
        return self.settings.get("DATABASE_URL") or sqlite_url(self.data / "holdfast.db")

    def environment(self) -> dict[str, str]:
        own = {"HOLDFAST_DATA": str(self.data), "HOLDFAST_PORT": str(self.port), "HOLDFAST_AUTH": "open"}
        return plain_environment(**own | self.settings)

    def run(self, *arguments: str, seconds: float = 30) -> str:
        """Run a command to its end and return what it printed. Raise AssertionError when it fails."""
        status, output = self.try_to_run(*arguments, seconds=seconds)
        assert status == 0, f"holdfast {' '.join(arguments)} exited with {status}:\n{output[-3000:]}"
        return output

    def try_to_run(self, *arguments: str, seconds: float = 30) -> tuple[int, str]:
        """Run a command to its end and return its exit status and what it printed."""
        # Of its own, though the same command runs beside it.
        name = f"{'-'.join(arguments)[:40]}-{secrets.token_hex(4)}".replace("/", "_")
        process = self.kind(
            argv=[*self.program, *arguments], env=self.environment(), log=self.folder / f"{name}.log", cwd=self.folder
        ).start()
        return process.wait(seconds=seconds), process.output()

    def start(self, command: str, *arguments: str, name: str | None = None) -> Process:
        """Start a long-running command; one that was started before under the name is started anew."""
        name = name or command
        process = self.processes.get(name)
        if process is None:
            process = self.processes[name] = self.kind(
                argv=[*self.program, command, *arguments],
                env=self.environment(),
                log=self.folder / f"{name}.log",
                cwd=self.folder,
            )
        return process.start()

    def start_all(self, names: Iterable[str]) -> Self:
        """As in `start_all(["api", "worker", "worker-2", "relay"])`, and wait until orders are taken."""
        for name in names:
            self.start(name.partition("-")[0], name=name)
        return self.wait_until_ready()

    def wait_until_ready(self) -> Self:
        intake = self.processes.get("up") or self.processes["api"]
        intake.wait_for(self.is_ready, seconds=_READY_SECONDS, what="holdfast is ready")
        return self

    def is_ready(self) -> bool:
        # An answer of 503 raises, too: HTTPError is an OSError.
        with suppress(OSError), urlopen(f"{self.url}/health/ready", timeout=5):  # noqa: S310 - the address is our own
            return True
        return False

    def stop(self, *, seconds: float = 20) -> dict[str, int]:
        """SIGTERM for all of them; their exit statuses."""
        running = {name: process for name, process in self.processes.items() if process.running}
        for process in running.values():
            process.send(signal.SIGTERM)
        return {name: process.wait(seconds=seconds) for name, process in running.items()}

    def kill(self) -> None:
        for process in self.processes.values():
            process.kill()

    def logs(self) -> str:
        return "\n".join(f"--- {name}\n{process.tail()}" for name, process in self.processes.items())

    def add_product(self, *, stock: int, price: int = 1250, name: str = "Fountain pen") -> int:
        printed = self.run(
            "products", "add", "--name", name, "--price", str(price), "--currency", "EUR", "--stock", str(stock)
        )
        return int(printed.split()[-1])

    def place_orders(self, product: int, count: int) -> list[str]:
        """Place orders for one unit each over HTTP, and return their ids."""
        ids = []
        for _ in range(count):
            order = {"user_id": 7, "items": [{"product_id": product, "quantity": 1}]}
            request = Request(  # noqa: S310 - the address is our own
                f"{self.url}/orders", json.dumps(order).encode(), {"Content-Type": "application/json"}
            )
            with urlopen(request, timeout=60) as answer:  # noqa: S310
                ids.append(json.load(answer)["order_id"])
        return ids

    async def findings(self) -> list[str]:
        """The findings about the data, also compared with the provider's ledger."""
        engine = create_engine(self.database)
        try:
            return await invariants.findings(SqlUnitOfWork(engine), await self.charges())
        finally:
            await engine.dispose()

    async def charges(self) -> Sequence[invariants.LedgerCharge]:
        """The money that the provider took."""
        async with open_file_ledger(self.data / "gateway.db") as ledger:
            return [
                invariants.LedgerCharge(
                    key=PaymentId(UUID(str(entry.key))), minor=entry.amount.minor, refunded=entry.refunded
                )
                for entry in await ledger.entries()
                if entry.reference
            ]


async def until(met: Callable[[], Coroutine[Any, Any, bool]], *, seconds: float, what: str) -> None:
    """Wait for a condition. Raise AssertionError when it was not met in `SLOWEST` times these seconds."""
    seconds *= SLOWEST
    try:
        async with asyncio.timeout(seconds):
            while not await met():  # noqa: ASYNC110 - what is awaited happens in another process
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"{what}: not within {seconds:g} s") from None
