"""The drill: PostgreSQL is set back to a moment before payments, as after somebody has deleted what was needed."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

import aiohttp
import asyncpg
import pytest
from attrs import define

from adapters.rabbitmq.topology import Topology
from tests.brokers import count, removed
from tests.integration.test_restored_database import cancel, has_status, pay, place, status
from tests.servers import PostgresServer
from tests.servers.process import make_folder, remove_folder
from tests.service import Service, until

PROGRAMS: Final = ("api", "worker", "relay")
# PostgreSQL refuses to run as root, and its files are its own.
OWNER: Final = "nobody" if os.geteuid() == 0 else None
BOUND: Final = 120


def run(*words: object) -> None:
    done = subprocess.run(
        [str(word) for word in words], user=OWNER, cwd="/", capture_output=True, text=True, timeout=BOUND, check=False
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"


def empty(folder: Path) -> None:
    run("find", folder, "-mindepth", "1", "-delete")


@define(eq=False)
class BaseBackup:
    """PostgreSQL's own means: a copy of its files, and an archive of what was written since."""

    folder: Path
    server: Any = None

    def settings(self) -> dict[str, str]:
        (self.folder / "archive").mkdir()
        return {"archive_mode": "on", "archive_command": f"'cp %p {self.folder}/archive/%f'"}

    def take(self) -> None:
        where = "-h", "127.0.0.1", "-p", self.server.port, "-U", "postgres"
        run(self.program("pg_basebackup"), *where, "-D", self.folder / "base", "-X", "none", "-c", "fast")

    def restore(self, until: datetime) -> None:
        empty(self.server.data)
        run("cp", "-a", f"{self.folder}/base/.", self.server.data)
        with (self.server.data / "postgresql.conf").open("a") as conf:
            conf.write(f"restore_command = 'cp {self.folder}/archive/%f %p'\n")
            conf.write(f"recovery_target_time = '{until.isoformat()}'\nrecovery_target_action = promote\n")
        run("touch", self.server.data / "recovery.signal")

    def program(self, name: str) -> Path:
        return Path(self.server._programs / name)  # noqa: SLF001 - of the same version


@define(eq=False)
class PgBackRest:
    """As it is packaged for Debian."""

    folder: Path
    server: Any = None

    @property
    def words(self) -> tuple[str, ...]:
        return "pgbackrest", f"--config={self.folder}/pgbackrest.conf", "--stanza=shop"

    def settings(self) -> dict[str, str]:
        return {
            "archive_mode": "on",
            "archive_command": f"'{' '.join(self.words)} archive-push %p'",
            "unix_socket_directories": f"'{self.folder}'",
        }

    def take(self) -> None:
        own = {"repo1-path": "repo", "log-path": "log", "lock-path": "lock", "spool-path": "spool"}
        lines = [f"{name}={self.folder}/{path}" for name, path in own.items()]
        for path in own.values():
            run("mkdir", self.folder / path)
        (self.folder / "pgbackrest.conf").write_text(
            "\n".join(["[global]", *lines, "start-fast=y", "[shop]", f"pg1-path={self.server.data}"])
            + f"\npg1-port={self.server.port}\npg1-socket-path={self.folder}\npg1-user=postgres\n"
        )
        run(*self.words, "stanza-create")
        run(*self.words, "backup")

    def restore(self, until: datetime) -> None:
        empty(self.server.data)
        run(*self.words, "--type=time", f"--target={until.isoformat(' ')}", "--target-action=promote", "restore")


Kind = type[BaseBackup] | type[PgBackRest]


@pytest.fixture(params=[BaseBackup, PgBackRest], ids=lambda kind: kind.__name__)
async def backup(request: pytest.FixtureRequest, pgbackrest_program: Path) -> AsyncIterator[BaseBackup | PgBackRest]:
    kind: Kind = request.param
    folder = make_folder("drill")
    if OWNER:
        shutil.chown(folder, OWNER)
    backup = kind(folder)
    backup.server = PostgresServer(settings={"wal_level": "replica", **backup.settings()})
    if OWNER:
        for each in folder.iterdir():
            shutil.chown(each, OWNER)
    try:
        await asyncio.to_thread(backup.server.start)
        yield backup
    finally:
        await asyncio.to_thread(backup.server.close)
        remove_folder(folder)


async def ask(backup: BaseBackup | PgBackRest, query: str) -> Any:
    connection = await asyncpg.connect(backup.server.url, timeout=30)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def is_promoted(backup: BaseBackup | PgBackRest) -> bool:
    return not await ask(backup, "SELECT pg_is_in_recovery()")


async def is_later(backup: BaseBackup | PgBackRest, moment: datetime) -> bool:
    return bool(await ask(backup, "SELECT clock_timestamp()") >= moment)


@pytest.fixture
async def service(
    backup: BaseBackup | PgBackRest, tmp_path: Path, redis_url: str, amqp_url: str
) -> AsyncIterator[Service]:
    """On all three servers, of which one alone is set back."""
    namespace = f"test-{token_hex(6)}"
    urls = {"DATABASE_URL": backup.server.url, "REDIS_URL": redis_url, "AMQP_URL": amqp_url}
    service = Service(folder=tmp_path, settings={**urls, "HOLDFAST_NAMESPACE": namespace})
    async with removed(amqp_url, Topology(namespace)):
        try:
            yield service
        finally:
            await asyncio.to_thread(service.kill)


async def test_a_database_that_is_set_back_to_a_moment_charges_nobody_twice(
    backup: BaseBackup | PgBackRest, service: Service, client: aiohttp.ClientSession
) -> None:
    """And neither Redis nor the broker, which know of later times, outvote it."""
    in_thread: Callable[..., Any] = asyncio.to_thread
    topology = Topology(service.settings["HOLDFAST_NAMESPACE"])
    requests = partial(count, service.settings["AMQP_URL"], topology.queue("payments"))

    async def there_are_requests(number: int) -> bool:
        return await requests() == number

    await in_thread(service.run, "migrate")
    product = await in_thread(service.add_product, stock=10)
    await in_thread(service.start_all, PROGRAMS)
    order = await place(client, service, product, key="to place")
    cancelled, asked = await place(client, service, product), await place(client, service, product)
    await in_thread(backup.take)
    taken = await ask(backup, "SELECT clock_timestamp()")
    # pgBackRest knows when a backup ended to the second, and takes none that ended in the same one.
    await until(partial(is_later, backup, taken + timedelta(seconds=1)), seconds=BOUND, what="a second has passed")
    moment = await ask(backup, "SELECT clock_timestamp()")
    lost = await place(client, service, product, key="to place more")
    for each in (order, lost):
        await pay(client, service, each)
        await until(partial(has_status, client, service, each, "PAID"), seconds=BOUND, what="it is paid")
    await cancel(client, service, cancelled)
    await in_thread(service.processes["worker"].stop)
    await pay(client, service, asked)
    await until(partial(there_are_requests, 1), seconds=BOUND, what="the broker has the request for a payment")
    await in_thread(service.stop)
    # What is not archived yet is so by the time the server has stopped.
    await in_thread(backup.server.stop)
    await in_thread(backup.restore, moment.astimezone(UTC))
    await in_thread(backup.server.start)
    await until(partial(is_promoted, backup), seconds=BOUND, what="the server is set back")
    # As if that moment were an hour ago. What was lost of the last 10 s alone is not told from a failover.
    await ask(backup, "UPDATE heartbeats SET seen_at = seen_at - interval '1 hour'")

    for program in PROGRAMS:
        exit_status, refused = await in_thread(service.try_to_run, program)
        assert (exit_status, "holdfast restored --since TIME" in refused) == (1, True), refused
    told = await in_thread(service.run, "restored", "--since", moment.astimezone(UTC).isoformat())
    assert "it is PAID again" in told
    assert "1 charges recorded again, 1 left" in told

    await in_thread(service.start_all, PROGRAMS)
    await until(
        partial(there_are_requests, 0), seconds=BOUND, what="the worker has the request of the time that is lost"
    )
    found = [await status(client, service, each) for each in (order, lost, cancelled, asked)]
    assert found == ["PAID", 404, "PENDING", "PENDING"]
    assert len(await service.charges()) == 2
    assert await place(client, service, product, key="to place more") == lost
    for each in (lost, asked):
        await pay(client, service, each)
        await until(partial(has_status, client, service, each, "PAID"), seconds=BOUND, what="it is paid")
    assert await service.findings() == []
    assert len(await service.charges()) == 3
