"""Workers and relays are known to be at work, by the clock of the database."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.health import unsafe_settings
from adapters.sql.heartbeats import SqlHeartbeats, provider_silence
from adapters.sql.overview import overview
from adapters.sql.tables.shop import heartbeats
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.errors import OutcomeUnknown
from application.payments.provider_calls import ProviderCalls
from application.ports.payments import ProviderReport, ProviderSilence
from domain.orders.status import OrderStatus
from entrypoints.alive import API, DEAD_AFTER, RELAY, WORKER
from entrypoints.doctor import warnings
from entrypoints.heartbeat import an_api_is_at_work, heard_of, missing
from entrypoints.settings import Settings
from tests.brokers import PATIENCE
from tests.contract.conftest import keep
from tests.unit.builders import NOW, ManualClock, a_product, placed


async def step_clock(engine: AsyncEngine, seconds: float) -> None:
    """No test can set a server's clock, so what was written moves the other way."""
    async with engine.begin() as connection:
        for seen_at in (await connection.execute(select(heartbeats.c.seen_at))).scalars().all():
            moved = seen_at - timedelta(seconds=seconds)
            await connection.execute(update(heartbeats).where(heartbeats.c.seen_at == seen_at).values(seen_at=moved))


async def test_a_process_is_heard_of_until_it_is_not(sql_engine: AsyncEngine) -> None:
    heard = SqlHeartbeats(sql_engine)
    assert missing(await heard.all()) == [WORKER, RELAY]
    await heard.beat(WORKER, "here:1")
    await heard.beat(RELAY, "here:2")
    await heard.beat(RELAY, "here:2")
    assert missing(await heard.all()) == []
    assert [(each.kind, each.instance) for each in await heard.all()] == [(RELAY, "here:2"), (WORKER, "here:1")]

    await step_clock(sql_engine, DEAD_AFTER)
    assert missing(await heard.all()) == [WORKER, RELAY]
    await heard.beat(WORKER, "here:3")
    assert missing(await heard.all()) == [RELAY]


async def test_customers_can_ask_while_an_api_is_heard_of(sql_engine: AsyncEngine) -> None:
    heard = SqlHeartbeats(sql_engine)
    await heard.beat(WORKER, "here:1")
    assert not await an_api_is_at_work(heard)
    await heard.beat(API, "here:2")
    assert await an_api_is_at_work(heard)
    await step_clock(sql_engine, DEAD_AFTER)
    assert not await an_api_is_at_work(heard)
    # The clock was set back, so nothing is known of any process.
    await step_clock(sql_engine, -3600)
    assert await an_api_is_at_work(heard)
    await heard.end(API, "here:2")
    assert not await an_api_is_at_work(heard)


@pytest.mark.parametrize("back", [60, 120, 366 * 86_400])
async def test_a_heartbeat_in_the_future_is_not_believed(sql_engine: AsyncEngine, back: float) -> None:
    heard = SqlHeartbeats(sql_engine)
    await heard.beat(WORKER, "here:1")
    await step_clock(sql_engine, -back)
    assert [each.age for each in await heard.all()] == [None]
    assert WORKER in missing(await heard.all())
    await heard.beat(WORKER, "here:2")
    assert [each.instance for each in await heard.all()] == ["here:2"]


async def test_the_dead_are_forgotten_after_a_day(sql_engine: AsyncEngine) -> None:
    heard = SqlHeartbeats(sql_engine)
    await heard.beat(WORKER, "here:1")
    await step_clock(sql_engine, 90_000)
    await heard.beat(WORKER, "here:2")
    assert [each.instance for each in await heard.all()] == ["here:2"]


async def test_a_program_is_heard_of_while_it_runs_and_not_missed_when_it_has_stopped(sql_engine: AsyncEngine) -> None:
    heard = SqlHeartbeats(sql_engine)
    async with heard_of(heard, WORKER):
        while missing(await heard.all()) != [RELAY]:
            pass
    assert await heard.all() == []


async def warned(engine: AsyncEngine) -> list[str]:
    """Without what is said of the server of the tests, which need not wait for its disk."""
    unsafe = (await unsafe_settings(engine)).values()
    return [warning for warning in await warnings(Settings(), engine) if warning not in unsafe]


async def test_the_doctor_names_who_is_missing(sql_engine: AsyncEngine) -> None:
    heard = SqlHeartbeats(sql_engine)
    await heard.beat(WORKER, "here:1")
    assert [warning.partition(",")[0] for warning in await warned(sql_engine)] == ["no relay is at work"]
    await heard.beat(RELAY, "here:1")
    assert await warned(sql_engine) == []


async def test_the_doctor_names_a_provider_that_does_not_answer(sql_engine: AsyncEngine) -> None:
    heard = SqlHeartbeats(sql_engine)
    await heard.beat(RELAY, "here:1")
    await heard.beat(WORKER, "here:1", ProviderReport(silent_since=NOW, failed_calls=40))
    [warning] = await warned(sql_engine)
    assert warning.startswith(f"the payment provider has not answered since {NOW:%Y-%m-%d %H:%M:%S} UTC")
    assert "failed calls: 40" in warning
    await heard.beat(WORKER, "here:1", ProviderReport(answered_at=NOW))
    assert await warned(sql_engine) == []


async def test_what_a_dead_worker_reported_does_not_count(sql_engine: AsyncEngine) -> None:
    heard = SqlHeartbeats(sql_engine)
    await heard.beat(WORKER, "here:1", ProviderReport(silent_since=NOW, failed_calls=40))
    assert provider_silence(await heard.all()) == ProviderSilence(since=NOW, failed_calls=40)
    await step_clock(sql_engine, DEAD_AFTER)
    assert provider_silence(await heard.all()) is None


async def test_a_worker_reports_what_its_calls_say(sql_engine: AsyncEngine) -> None:
    clock, heard = ManualClock(), SqlHeartbeats(sql_engine)
    calls, since = ProviderCalls(clock), clock()
    with suppress(OutcomeUnknown), calls.one():
        raise OutcomeUnknown("no answer")
    clock.forward(timedelta(minutes=1))
    async with asyncio.timeout(PATIENCE), heard_of(heard, WORKER, RELAY, calls=calls):
        while missing(found := await heard.all()):
            pass
    # The relay in the same process calls nobody.
    assert provider_silence(found) == ProviderSilence(since=since, failed_calls=1)


async def test_the_overview_counts_what_waits(sql_engine: AsyncEngine) -> None:
    unit_of_work: Any = SqlUnitOfWork(sql_engine)
    empty = await overview(sql_engine)
    assert (set(empty.orders.values()), empty.outbox, empty.dead_letters, empty.oldest) == ({0}, 0, 0, None)

    await keep(unit_of_work, products=[a_product()])
    order, event = placed()
    async with unit_of_work() as tx:
        await tx.orders.add_many([order])
        await tx.events.add_many([event])
    seen = await overview(sql_engine)
    assert (seen.orders[OrderStatus.PENDING], seen.orders[OrderStatus.PAID], seen.outbox) == (1, 0, 1)
    assert seen.oldest is None
