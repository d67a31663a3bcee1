"""The servers and processes of a scenario, started for it alone and ended with it."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg  # type: ignore[import-untyped]  # it has no types
from attrs import define, field, frozen
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.payments.simulated.file_ledger import open_file_ledger
from adapters.sql.core.engine import create_engine, sqlite_url
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.access.principal import the_system
from application.catalogue.add_products import AddProducts, NewProduct
from bench.growth import fill
from bench.invariants import ShopData
from domain.ids import ProductId
from domain.money import Money
from entrypoints.doctor import examine
from entrypoints.read_settings import read_settings
from tests.servers import PostgresServer, Process, RabbitServer, RedisServer, Server, free_port, plain_environment
from tests.servers.packages import find_or_install
from tests.servers.process import make_folder, remove_folder
from tests.service import HOLDFAST, Service

ROOT: Final = Path(__file__).parents[1]
PRODUCT: Final = (str(HOLDFAST),)
PRODUCTS: Final = 20
GROWN: Final = "grown"
_STOCK: Final = 10**12
_MIGRATION_SECONDS: Final = 60.0
_STATEMENT_SECONDS: Final = 600.0
# As many as PostgreSQL keeps by default (max_wal_size).
_LOG_FILES: Final = 64

Say = Callable[[str], None]


@frozen
class Servers:
    """PostgreSQL as it is installed, so with fsync and synchronous_commit; Redis and RabbitMQ likewise."""

    postgres: PostgresServer
    redis: RedisServer
    rabbit: RabbitServer

    @property
    def pids(self) -> dict[str, int]:
        return {"postgresql": self.postgres.pid, "redis": self.redis.pid, "rabbitmq": self.rabbit.pid}

    def settings(self, name: str) -> dict[str, str]:
        """A database and a namespace of their own for the shop of this name."""
        asyncio.run(_create_database(self.postgres.url, name))
        return self.settings_of_made(name)

    def settings_of_made(self, name: str) -> dict[str, str]:
        """Where the database is there already."""
        return {
            "DATABASE_URL": self.postgres.url.rpartition("/")[0] + f"/{name}",
            "REDIS_URL": self.redis.url,
            "AMQP_URL": self.rabbit.url,
            "HOLDFAST_NAMESPACE": name,
        }


@frozen
class Grown:
    """A filled shop, from which others are copied: filling takes minutes, copying takes seconds."""

    orders: int
    ledger: Path
    postgres: PostgresServer
    """It is stopped."""


@define(eq=False)
class Shop:
    """One running build of Holdfast, and its data."""

    service: Service
    data: ShopData
    servers: Mapping[str, int] = field(factory=dict)

    @property
    def url(self) -> str:
        return self.service.url

    @property
    def folder(self) -> Path:
        return self.service.folder

    @property
    def pids(self) -> dict[str, int]:
        """Of everything that works for it."""
        return {**{name: process.pid for name, process in self.service.processes.items()}, **self.servers}

    def versions(self) -> dict[str, str]:
        """The servers that it works with, and their versions."""
        return asyncio.run(_versions(self.service))


def install(names: Sequence[str], say: Say) -> None:
    """Raise `ServerMissing`."""
    for name in names:
        find_or_install(name, say)


@contextmanager
def open_servers(grown: Grown | None = None) -> Iterator[Servers]:
    """Started side by side; with a copy of what has grown, in the database GROWN."""
    with ExitStack() as stack:
        servers = Servers(PostgresServer(like=grown.postgres if grown else None), RedisServer(), RabbitServer())
        every: list[Server] = [servers.postgres, servers.redis, servers.rabbit]
        for server in every:
            stack.callback(server.close)
        with ThreadPoolExecutor(len(every)) as threads:
            # Raises what one of them raised.
            list(threads.map(lambda server: server.start(), every))
        if grown:
            # Flush the copy to disk, so that no commit has to wait for it later.
            os.sync()
        asyncio.run(_age(servers.postgres.url))
        yield servers


@contextmanager
def open_grown(orders: int, say: Say) -> Iterator[Grown]:
    """Fill a shop, and stop its servers."""
    folder = make_folder("bench-grown")
    with ExitStack() as stack:
        stack.callback(remove_folder, folder)
        say("starting the servers")
        servers = stack.enter_context(open_servers())
        service = Service(folder=folder, settings=servers.settings(GROWN), kind=Process)
        furnish(service, orders, say)
        for server in (servers.postgres, servers.redis, servers.rabbit):
            server.stop()
        yield Grown(orders, ledger_of(service), servers.postgres)


@contextmanager
def open_shop(  # noqa: PLR0913 - each is a setting, given by name
    programs: Sequence[str],
    settings: Mapping[str, str],
    *,
    servers: Servers | None,
    orders: int | Grown,
    say: Say,
    program: Sequence[str] = PRODUCT,
) -> Iterator[Shop]:
    """Run these programs on a catalogue and so many orders, which are made first; or on those of one that has grown."""
    folder = make_folder("bench")
    service = Service(folder=folder, settings=dict(settings), program=program, kind=Process)
    with ExitStack() as stack:
        stack.callback(remove_folder, folder)
        furnish(service, orders, say)
        stack.callback(service.kill)
        service.start_all(programs)
        data = stack.enter_context(ShopData(service.database, ledger_of(service)))
        yield Shop(service, data, servers.pids if servers else {})
        service.stop()


@contextmanager
def open_ceiling() -> Iterator[Shop]:
    """The empty handler as a shop. It has no data."""
    folder = make_folder("bench-ceiling")
    port = free_port()
    service = Service(folder=folder, port=port, kind=Process)
    service.processes["api"] = Process(
        argv=[sys.executable, "-m", "bench.ceiling", str(port)],
        env=plain_environment(),
        log=folder / "ceiling.log",
        cwd=ROOT,
    )
    with ExitStack() as stack:
        stack.callback(remove_folder, folder)
        stack.callback(service.kill)
        service.processes["api"].start()
        service.wait_until_ready()
        yield Shop(service, stack.enter_context(ShopData(sqlite_url(folder / "none.db"), folder / "none")))


@asynccontextmanager
async def engine_of(service: Service) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(service.database, statement_timeout=_STATEMENT_SECONDS)
    try:
        yield engine
    finally:
        await engine.dispose()


async def _versions(service: Service) -> dict[str, str]:
    """As `holdfast doctor` asks for them: the HTTP interface tells strangers no versions."""
    async with engine_of(service) as engine:
        servers = await examine(read_settings(service.settings), engine)
    return {server.name: server.version for server in servers if server.version}


async def _age(url: str) -> None:
    """Let PostgreSQL's log grow to the size at which its files are used again.

    A server that is older than an hour does nothing else; a new one makes 16 MB of zeros every few seconds, and lets
    every commit wait for it for 40 ms or more.
    """
    connection = await asyncpg.connect(url, timeout=30)
    try:
        for _ in range(_LOG_FILES):
            await connection.execute("SELECT pg_logical_emit_message(false, 'bench', '')")
            await connection.execute("SELECT pg_switch_wal()")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def furnish(service: Service, orders: int | Grown, say: Say) -> None:
    service.data.mkdir()
    # What has grown has its tables already, but not its queues.
    service.run("migrate", seconds=_MIGRATION_SECONDS)
    if isinstance(orders, Grown):
        shutil.copy(orders.ledger, ledger_of(service))
        return
    asyncio.run(_add_products(service))
    if orders:
        asyncio.run(_add_orders(service, orders, say))


def ledger_of(service: Service) -> Path:
    return service.data / "gateway.db"


async def _create_database(url: str, name: str) -> None:
    connection = await asyncpg.connect(url, timeout=30)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()


async def _add_products(service: Service) -> None:
    async with engine_of(service) as engine:
        await AddProducts(SqlUnitOfWork(engine), lambda: datetime.now(UTC))(
            the_system("bench"),
            [
                NewProduct(id=ProductId(number), name=f"Pen {number}", price=Money(100 * number, "EUR"), stock=_STOCK)
                for number in range(1, PRODUCTS + 1)
            ],
        )


async def _add_orders(service: Service, count: int, say: Say) -> None:
    done = 0

    def progress(more: int) -> None:
        nonlocal done
        done += more
        say(f"filling: {done:,} of {count:,} orders")

    async with engine_of(service) as engine, open_file_ledger(ledger_of(service)) as ledger:
        await fill(engine, ledger, count=count, progress=progress)
