"""Faults of PostgreSQL and of the connections to it."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final

import asyncpg

from adapters.sql.health import expect_room_on_server, server_version
from application.errors import Unavailable
from tests.cables import both, cable
from tests.engines import engine_on
from tests.integration.faults.fault import GOES_ON, Fault
from tests.integration.faults.house import PROCESSES, House
from tests.service import until

# The connections of the service, oldest first.
_OURS: Final = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'holdfast/%' ORDER BY backend_start"
_END_ALL: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'holdfast/%'"
_END_BUSY: Final = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE application_name LIKE 'holdfast/%' AND state <> 'idle'"
)


@asynccontextmanager
async def _restarted(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.postgres.restart)
    yield


@asynccontextmanager
async def _killed(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.postgres.kill)
    await asyncio.to_thread(house.postgres.start)
    yield


@asynccontextmanager
async def _down(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.postgres.stop)
    yield
    await asyncio.to_thread(house.postgres.start)


@asynccontextmanager
async def _down_for_longer_than_the_time_to_pay(house: House) -> AsyncIterator[None]:
    time_to_pay = timedelta(seconds=12)
    await house.start("worker", HOLDFAST_ORDER_EXPIRY=f"{time_to_pay.total_seconds():g}s")
    # It has noted that the shop is open.
    await until(partial(_is_noted, house), seconds=20, what="the worker looks for unpaid orders")
    began = datetime.now(UTC)
    await asyncio.to_thread(house.postgres.stop)
    yield
    await asyncio.to_thread(house.postgres.start)
    ended = datetime.now(UTC)
    await until(partial(_is_noted, house), seconds=20, what="the worker looks for unpaid orders again")
    # So the orders that would have expired at once have done so by the next look.
    await asyncio.sleep(time_to_pay.total_seconds() / 5)
    async with house.sql() as connection:
        expired = await connection.fetch("SELECT id, recorded_at, updated_at FROM orders WHERE status = 'EXPIRED'")
    # A tenth of the time lies between two looks. Two that are missing are an outage.
    least = time_to_pay * 0.8
    for order in expired:
        lost = max(min(ended, order["updated_at"]) - max(began, order["recorded_at"]), timedelta(0))
        had = order["updated_at"] - order["recorded_at"] - lost
        assert had >= least - timedelta(seconds=1), f"order {order['id']} expired, and could be paid for during {had}"
    # Otherwise orders expire while the data are looked through.
    await house.start("worker")


async def _is_noted(house: House) -> bool:
    async with house.sql() as connection:
        noted = "SELECT count(*) > 0 FROM open_periods WHERE until > clock_timestamp() - interval '2 s'"
        return bool(await connection.fetchval(noted))


@asynccontextmanager
async def _frozen(house: House) -> AsyncIterator[None]:
    await asyncio.to_thread(house.postgres.pause)
    yield
    await asyncio.to_thread(house.postgres.resume)


@asynccontextmanager
async def _backend_killed(house: House) -> AsyncIterator[None]:
    # One dies without a word, and the server throws out all others, for they share its memory.
    for _ in range(3):
        async with house.sql() as connection:
            os.kill(await connection.fetchval(_OURS), signal.SIGKILL)
            await until(partial(_is_closed, connection), seconds=20, what="PostgreSQL has thrown all out")
        # It starts anew by itself.
        await until(partial(_serves, house), seconds=20, what="PostgreSQL serves again")
        await asyncio.sleep(0.5)
    yield


async def _is_closed(connection: Any) -> bool:
    return bool(connection.is_closed())


async def _serves(house: House) -> bool:
    with suppress(OSError, asyncpg.PostgresError):
        async with house.sql():
            return True
    return False


@asynccontextmanager
async def _transactions_terminated(house: House) -> AsyncIterator[None]:
    terminated = 0
    async with house.sql() as connection:
        for _ in range(60):
            terminated += await connection.fetchval(_END_BUSY)
            await asyncio.sleep(0.05)
    assert terminated > 10, f"only {terminated} connections were at work"
    yield


@asynccontextmanager
async def _locked(house: House) -> AsyncIterator[None]:
    async with house.sql() as connection, connection.transaction():
        await connection.execute("SELECT FROM products WHERE id = $1 FOR NO KEY UPDATE", house.products[0])
        yield


@asynccontextmanager
async def _deadlocks(house: House) -> AsyncIterator[None]:
    """A stranger takes the rows that a worker takes, in the opposite order."""
    counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    over = asyncio.Event()

    async def take_backwards() -> None:
        async with house.sql() as connection:
            while not over.is_set():
                with suppress(asyncpg.DeadlockDetectedError):
                    async with connection.transaction():
                        for product in reversed(house.products):
                            await connection.execute("SELECT FROM products WHERE id = $1 FOR UPDATE", product)
                            await asyncio.sleep(0.02)
                await asyncio.sleep(0.02)

    async with house.sql() as connection:
        before = await connection.fetchval(counted)
    takers = [asyncio.create_task(take_backwards()) for _ in range(2)]
    try:
        yield
    finally:
        over.set()
        await asyncio.gather(*takers)
    async with house.sql() as connection:
        await connection.execute("SELECT pg_stat_clear_snapshot()")
        assert await connection.fetchval(counted) > before, "there was no deadlock"


@asynccontextmanager
async def _no_connection_left(house: House) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:

        async def take_all() -> None:
            with suppress(asyncpg.TooManyConnectionsError):
                while True:
                    await stack.enter_async_context(house.sql())

        # The service loses its connections, and the quicker client takes them.
        async with house.sql() as connection:
            for _ in range(5):
                await connection.execute(_END_ALL)
                await take_all()
        await take_all()
        yield


@asynccontextmanager
async def _read_only(house: House) -> AsyncIterator[None]:
    async with house.sql() as connection:
        await connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await connection.execute("SELECT pg_reload_conf()")
    yield
    async with house.sql() as connection:
        await connection.execute("SET default_transaction_read_only = off")
        await connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
        await connection.execute("SELECT pg_reload_conf()")


@asynccontextmanager
async def _set_back(house: House) -> AsyncIterator[None]:
    # Every server on a machine has the same clock, so the lease is moved instead: it ends as if the clock had been set
    # back after the relay's last claim.
    await house.kill("relay")
    async with house.sql() as connection:
        moved = await connection.execute("UPDATE leases SET until = clock_timestamp() + interval '2 min'")
        # There may be others than that of the relay.
        assert moved != "UPDATE 0", "no relay has held the lease"
    await house.start("relay")
    yield


@asynccontextmanager
async def _disk_full(house: House) -> AsyncIterator[None]:
    """The tables that grow are brought onto a small disk, which is then filled to the last byte."""
    disk = house.postgres.folder / "disk"
    disk.mkdir(exist_ok=True)
    owner = (house.postgres.folder / "data").stat().st_uid
    await _command("mount", "-t", "tmpfs", "-o", f"size=256m,mode=0700,uid={owner}", "tmpfs", str(disk))
    try:
        tables = ("orders", "order_items", "order_events", "outbox")
        async with house.sql() as connection:
            await connection.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
            for table in tables:
                await connection.execute(f"ALTER TABLE {table} SET TABLESPACE small")
            # A server has all on one disk, the temporary tables of its sessions as well.
            database = await connection.fetchval("SELECT current_database()")
            await connection.execute(f'ALTER DATABASE "{database}" SET temp_tablespaces = small')
        await asyncio.to_thread(_fill, disk / "filler")
        async with engine_on(house.postgres.url) as engine:
            try:
                await expect_room_on_server(engine)
            except Unavailable:
                pass
            else:
                raise AssertionError("`ready` and `doctor` don't notice that the disk is full")
        yield
        (disk / "filler").unlink()
        async with house.sql() as connection:
            await connection.execute(f'ALTER DATABASE "{database}" RESET temp_tablespaces')
            for table in tables:
                await connection.execute(f"ALTER TABLE {table} SET TABLESPACE pg_default")
            await connection.execute("DROP TABLESPACE small")
    finally:
        await _command("umount", "--lazy", str(disk))


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as filler:
        for size in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    filler.write(bytes(size))


def _no_mount() -> str | None:
    return None if os.geteuid() == 0 and shutil.which("mount") else "only root can mount a small disk"


async def _command(*arguments: str) -> None:
    await asyncio.to_thread(subprocess.run, arguments, check=True, capture_output=True, timeout=30)


@asynccontextmanager
async def _slow(house: House) -> AsyncIterator[None]:
    house.to_postgres.delay = 0.1
    yield
    house.to_postgres.restore()


@asynccontextmanager
async def _silent(house: House) -> AsyncIterator[None]:
    house.to_postgres.silence()
    house.to_postgres.silent_from_now = True
    yield
    house.to_postgres.restore()


# Seconds for the first connection while the first host drops all packets.
_FIRST_CONNECTION: Final = 1.0


@asynccontextmanager
async def _first_host_silent(house: House) -> AsyncIterator[None]:
    async with cable(house.postgres.url) as second:
        url = both(house.to_postgres, second)
        await house.start(*PROCESSES, DATABASE_URL=url)
        house.to_postgres.silence()
        house.to_postgres.silent_from_now = True
        async with engine_on(url) as engine:
            began = monotonic()
            await server_version(engine)
            took = monotonic() - began
        assert took < _FIRST_CONNECTION, f"the first connection took {took:.1f} s"
        yield
        house.to_postgres.restore()
        # Before the second cable is gone.
        await house.start(*PROCESSES)


@asynccontextmanager
async def _stale(house: House) -> AsyncIterator[None]:
    """As by a firewall that drops idle connections: open ones never answer again, new ones work."""
    house.to_postgres.silence()
    yield


@asynccontextmanager
async def _cut(house: House) -> AsyncIterator[None]:
    for _ in range(20):
        house.to_postgres.cut()
        await asyncio.sleep(0.15)
    yield


@asynccontextmanager
async def _commits_unanswered(house: House) -> AsyncIterator[None]:
    lost = 0
    for _ in range(20):
        house.to_postgres.loses_answer_to = b"COMMIT"
        await asyncio.sleep(0.15)
        lost += house.to_postgres.loses_answer_to is None
    house.to_postgres.restore()
    assert lost > 10, f"only {lost} commits were not answered"
    yield


FAULTS: Final = (
    Fault(name="PostgreSQL is restarted", breaking=_restarted, hold=1),
    Fault(name="PostgreSQL is killed (kill -9)", breaking=_killed, hold=1),
    Fault(name="PostgreSQL is down for 5 s", breaking=_down, hold=5),
    Fault(
        name="PostgreSQL is down for longer than customers have to pay",
        breaking=_down_for_longer_than_the_time_to_pay,
        hold=15,
    ),
    Fault(name="PostgreSQL is frozen for 5 s", breaking=_frozen, hold=5),
    Fault(name="PostgreSQL falls silent for 7 s", breaking=_silent, hold=7),
    Fault(
        name="The first of PostgreSQL's two hosts drops all packets, for 7 s",
        breaking=_first_host_silent,
        hold=7,
        # It is started with the two hosts, and afterwards with one.
        api_is_there=False,
    ),
    Fault(name="PostgreSQL's open connections fall silent for good", breaking=_stale, hold=1),
    Fault(name="PostgreSQL is slow: 200 ms a round trip", breaking=_slow, hold=4),
    Fault(name="Connections to PostgreSQL are cut, 20 times", breaking=_cut, hold=0),
    Fault(name="A backend of PostgreSQL is killed, 3 times", breaking=_backend_killed, hold=0),
    Fault(name="Transactions are terminated, for 3 s", breaking=_transactions_terminated, hold=0),
    Fault(name="Answers to COMMIT are lost, 20 times", breaking=_commits_unanswered, hold=0),
    Fault(name="A stranger locks what everybody buys, for 7 s", breaking=_locked, hold=7, goes_on=("place", "read")),
    Fault(name="Deadlocks are forced, for 4 s", breaking=_deadlocks, hold=4),
    Fault(
        name="PostgreSQL's clock is set back by two minutes, and the relay dies",
        breaking=_set_back,
        within=15,
        goes_on=GOES_ON,
    ),
    Fault(name="PostgreSQL has no connection left", breaking=_no_connection_left),
    Fault(name="PostgreSQL is read-only", breaking=_read_only),
    Fault(name="PostgreSQL's disk is full", breaking=_disk_full, missing=_no_mount),
)
