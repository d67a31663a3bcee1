import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import monotonic

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.memory.signal import MemoryOutboxSignal
from adapters.sql.core.engine import create_engine
from adapters.sql.signal import open_outbox_signal
from application.ports.messaging import OutboxSignal


@pytest.fixture
async def opened() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture(params=["memory", "postgres"])
def signal_engine(request: pytest.FixtureRequest) -> AsyncEngine | None:
    if request.param == "memory":
        return None
    engine: AsyncEngine = request.getfixturevalue("postgres_engine")
    return engine


@pytest.fixture
async def signal(signal_engine: AsyncEngine | None, opened: AsyncExitStack) -> OutboxSignal:
    if signal_engine is None:
        return MemoryOutboxSignal()
    return await listening(signal_engine, opened)


async def listening(engine: AsyncEngine, opened: AsyncExitStack) -> OutboxSignal:
    """A signal that already hears others."""
    signal = await opened.enter_async_context(open_outbox_signal(engine))
    await signal.wait(5)
    return signal


async def seconds_until_woken(signal: OutboxSignal, *, at_most: float) -> float:
    began = monotonic()
    await signal.wait(at_most)
    return monotonic() - began


async def is_woken(signal: OutboxSignal) -> bool:
    """Whether a wait ends long before its time is over."""
    return await seconds_until_woken(signal, at_most=120) < 60


async def listeners(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        counting = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
        return int((await connection.execute(counting)).scalar_one())


async def test_a_wait_ends_when_the_time_is_over(signal: OutboxSignal) -> None:
    assert await seconds_until_woken(signal, at_most=0.1) >= 0.1


async def test_a_notify_before_the_wait_is_not_lost(signal: OutboxSignal) -> None:
    signal.notify()
    assert await is_woken(signal)


async def test_a_notify_ends_a_wait_that_is_under_way(signal: OutboxSignal) -> None:
    asyncio.get_running_loop().call_later(0.05, signal.notify)
    assert await is_woken(signal)


async def test_a_notify_is_heard_once(signal: OutboxSignal) -> None:
    for _ in range(3):
        signal.notify()
    await signal.wait(5)
    assert await seconds_until_woken(signal, at_most=0.3) >= 0.3


async def test_a_wait_that_is_cancelled_leaves_the_signal_working(signal: OutboxSignal) -> None:
    task = asyncio.create_task(signal.wait(60))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    signal.notify()
    assert await is_woken(signal)


async def test_every_other_process_is_woken(postgres_engine: AsyncEngine, opened: AsyncExitStack) -> None:
    relays = [await listening(postgres_engine, opened) for _ in range(2)]
    # It only notifies, as an API process does.
    api = await opened.enter_async_context(open_outbox_signal(postgres_engine))
    for _ in range(3):
        waits = [asyncio.create_task(is_woken(relay)) for relay in relays]
        await asyncio.sleep(0)
        api.notify()
        assert all([await wait for wait in waits])
    assert await listeners(postgres_engine) == 2


async def test_a_storm_of_notifies_is_told_and_ends(postgres_engine: AsyncEngine, opened: AsyncExitStack) -> None:
    relay = await listening(postgres_engine, opened)
    api = await opened.enter_async_context(open_outbox_signal(postgres_engine))
    for _ in range(1000):
        api.notify()
    assert await is_woken(relay)
    assert await seconds_until_woken(relay, at_most=0.3) >= 0.3


async def test_a_listener_that_was_thrown_out_comes_back(postgres_engine: AsyncEngine, opened: AsyncExitStack) -> None:
    relay = await listening(postgres_engine, opened)
    api = await opened.enter_async_context(open_outbox_signal(postgres_engine))
    api.notify()
    await relay.wait(5)
    async with postgres_engine.connect() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        )
    # It says so itself when it listens again, for something may have been missed meanwhile.
    assert await is_woken(relay)
    api.notify()
    assert await is_woken(relay)


async def test_without_a_server_nothing_fails_and_a_wait_lasts_its_time(opened: AsyncExitStack) -> None:
    engine = create_engine("postgresql://ana@127.0.0.1:1/shop")
    signal = await opened.enter_async_context(open_outbox_signal(engine))
    assert await seconds_until_woken(signal, at_most=0.1) >= 0.1
    signal.notify()
    assert await is_woken(signal)


async def test_where_the_database_wakes_nobody_the_process_wakes_itself(sqlite_engine: AsyncEngine) -> None:
    in_process = MemoryOutboxSignal()
    async with open_outbox_signal(sqlite_engine, in_process) as signal:
        assert signal is in_process
    with pytest.raises(ValueError, match="SQLite can wake no other process"):
        async with open_outbox_signal(sqlite_engine):
            pass
