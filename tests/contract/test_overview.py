"""The shop at a glance, in memory and on every database."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve, frozen
from sqlalchemy import select, update

from adapters.memory.overview import MemoryOverview
from adapters.memory.store import MemoryStore
from adapters.memory.unit_of_work import MemoryUnitOfWork
from adapters.sql.heartbeats import SqlHeartbeats
from adapters.sql.shop_overview import SqlOverview
from adapters.sql.tables.shop import leases
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.ports.outbox import LEASE_SECONDS
from application.ports.overview import ActiveRelay, FailingReceivers, Overview, WaitingOrder
from application.ports.payments import ProviderReport, ProviderSilence
from application.ports.persistence import UnitOfWork
from domain.dead_letter import DeadMessage
from domain.ids import OrderId, PaymentId, ProductId
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from domain.webhooks.delivery import DeliveryStatus, Undelivered
from domain.webhooks.endpoint import Disabled
from domain.webhooks.progress import begun_after
from entrypoints.alive import WORKER
from tests.brokers import PATIENCE
from tests.contract.conftest import keep
from tests.contract.test_unit_of_work_webhooks import a_delivery, an_endpoint
from tests.unit.builders import NOW, a_product, an_order, order_in, placed

SOON = timedelta(minutes=10)
WORKERS = ("machine:1", "machine:2")
AGES_AGO = timedelta(days=36_500)
# Of a lease.
MOST = timedelta(seconds=LEASE_SECONDS - 2)


@frozen
class Seen:
    overview: Overview
    unit_of_work: UnitOfWork
    # Let most of the lease pass.
    shorten_lease: Callable[[], Awaitable[None]]
    # Let a worker report how its calls to the provider go.
    report: Callable[[str, ProviderReport], Awaitable[None]]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def seen(request: pytest.FixtureRequest) -> Seen:
    if request.param == "memory":
        store = MemoryStore()

        async def shorten() -> None:
            for name, lease in store.leases.items():
                store.leases[name] = evolve(lease, until=lease.until - MOST)

        reports: dict[str, ProviderReport] = {}

        async def note(worker: str, report: ProviderReport) -> None:
            reports[worker] = report

        of_workers = [partial(reports.get, worker, ProviderReport()) for worker in WORKERS]
        return Seen(MemoryOverview(store, of_workers), MemoryUnitOfWork(store), shorten, note)
    engine = request.getfixturevalue(f"{request.param}_engine")

    async def shorten_in_database() -> None:
        async with engine.begin() as connection:
            for name, until in (await connection.execute(select(leases.c.name, leases.c.until))).all():
                await connection.execute(update(leases).where(leases.c.name == name).values(until=until - MOST))

    async def beat(worker: str, report: ProviderReport) -> None:
        await SqlHeartbeats(engine).beat(WORKER, worker, report)

    return Seen(SqlOverview(engine), SqlUnitOfWork(engine), shorten_in_database, beat)


def order(number: int, **more: Any) -> Order:
    return evolve(an_order(number=number), **more)


async def test_an_empty_shop_waits_for_nothing(seen: Seen) -> None:
    waiting = await seen.overview.waiting(stuck_after=SOON)
    assert (waiting.outbox, waiting.oldest_event, waiting.oldest_order) == (0, timedelta(0), None)
    assert (waiting.dead_letters, waiting.stuck) == (0, {"PROCESSING": 0, "REFUND": 0})
    assert await seen.overview.times_to_paid(events=100) == []
    assert (await seen.overview.upkeep()).relay is None


async def test_orders_are_counted_between_moments(seen: Seen) -> None:
    minute = timedelta(minutes=1)
    placed_at = [NOW, NOW + minute, NOW + minute * 2 - timedelta(microseconds=1), NOW + minute * 5]
    orders = [order(number, created_at=at, updated_at=at) for number, at in enumerate(placed_at, start=1)]
    await keep(seen.unit_of_work, products=[a_product()], orders=orders)
    moments = [NOW, NOW + minute, NOW + minute * 2, NOW + minute * 3]
    assert await seen.overview.accepted(moments, most=100) == [1, 2, 0]
    assert await seen.overview.accepted(moments, most=1) == [1, 1, 0]


async def test_what_waits_is_counted_and_the_oldest_is_named(seen: Seen) -> None:
    processing, _ = order_in(OrderStatus.PROCESSING)
    paid, _ = order_in(OrderStatus.PAID)
    refunding = evolve(
        paid, id=OrderId(UUID(int=2)), refund_requested=True, updated_at=paid.updated_at + timedelta(hours=1)
    )
    await keep(seen.unit_of_work, products=[a_product()], orders=[processing, refunding])
    _, event = placed(number=3)
    async with seen.unit_of_work() as tx:
        await tx.events.add_many([event])
        message = DeadMessage(body=b"1", reason="bad", attempts=1, first_at=NOW, last_at=NOW)
        await tx.dead_letters.record("payments", [message])
        await tx.outbox.claim(by="relay 1", limit=1)

    waiting = await seen.overview.waiting(stuck_after=SOON)

    assert (waiting.outbox, waiting.orders, waiting.dead_letters) == (1, 2, 1)
    assert waiting.oldest_event > timedelta(0)
    assert waiting.oldest_order == WaitingOrder(processing.id, OrderStatus.PROCESSING, processing.updated_at)
    assert waiting.stuck == {"PROCESSING": 1, "REFUND": 1}
    assert (await seen.overview.waiting(stuck_after=AGES_AGO)).stuck == {"PROCESSING": 0, "REFUND": 0}
    relay = (await seen.overview.upkeep()).relay
    assert relay is not None
    assert relay.name == "relay 1"


async def test_the_provider_is_silent_while_no_worker_gets_an_answer(seen: Seen) -> None:
    assert await seen.overview.provider_silence() is None
    first, second = WORKERS
    await seen.report(first, ProviderReport(answered_at=NOW - SOON, silent_since=NOW, failed_calls=3))
    assert await seen.overview.provider_silence() == ProviderSilence(since=NOW, failed_calls=3)
    await seen.report(second, ProviderReport(silent_since=NOW + SOON, failed_calls=2))
    await seen.report(first, ProviderReport(answered_at=NOW - SOON, silent_since=NOW, failed_calls=4))
    assert await seen.overview.provider_silence() == ProviderSilence(since=NOW, failed_calls=6)
    await seen.report(second, ProviderReport(answered_at=NOW + SOON))
    assert await seen.overview.provider_silence() is None


async def test_the_receivers_that_fail_are_counted_and_the_first_of_them_is_told_of(seen: Seen) -> None:
    assert (await seen.overview.waiting(stuck_after=SOON)).failing_receivers is None
    endpoints = [an_endpoint() for _ in range(5)]
    first, second, _, off, gone = endpoints
    off.disable(Disabled.BY_HAND, at=NOW)
    gone.delete(at=NOW)
    # Each has failed since a time, or not, and was given so many rests.
    failing = [(SOON, 1), (SOON * 2, 3), (SOON / 2, 0), (SOON / 2, 1), (SOON / 2, 1)]
    progress = [
        evolve(begun_after(each.id, 0), failing_since=NOW + after, rests=rests, failures=rests and 10)
        for each, (after, rests) in zip(endpoints, failing, strict=True)
    ]
    retrying = {"status": DeliveryStatus.RETRYING, "outcome": "status 500", "tries": 1, "attempts": 1}
    async with seen.unit_of_work() as tx:
        await tx.webhook_endpoints.add_many(endpoints)
        await tx.webhook_progress.add_many(progress)
        deliveries = [
            a_delivery(first.id, 1, next_at=NOW + SOON, **retrying),
            a_delivery(first.id, 2, next_at=NOW, reason=Undelivered.HELD_BEHIND),
            a_delivery(second.id, 1, next_at=NOW, **{**retrying, "outcome": "timeout"}),
        ]
        await tx.webhook_deliveries.add_many(deliveries, {})
    told = (await seen.overview.waiting(stuck_after=SOON)).failing_receivers
    assert told == FailingReceivers(number=2, since=NOW + SOON, answer="status 500")


async def test_the_receivers_that_the_shop_has_disabled_are_counted(seen: Seen) -> None:
    assert (await seen.overview.waiting(stuck_after=SOON)).disabled_receivers == 0
    endpoints = [an_endpoint() for _ in range(5)]
    for endpoint, why in zip(
        endpoints, (Disabled.GONE, Disabled.FAILING, Disabled.BY_HAND, Disabled.GONE), strict=False
    ):
        endpoint.disable(why, at=NOW)
    endpoints[3].delete(at=NOW)
    async with seen.unit_of_work() as tx:
        await tx.webhook_endpoints.add_many(endpoints)
    assert (await seen.overview.waiting(stuck_after=SOON)).disabled_receivers == 2


async def test_the_relay_that_renews_its_lease_leads_since_it_took_it(seen: Seen) -> None:
    async def claimed(by: str) -> ActiveRelay:
        async with seen.unit_of_work() as tx:
            await tx.outbox.claim(by=by, limit=1)
        relay = (await seen.overview.upkeep()).relay
        assert relay is not None
        assert relay.since is not None
        assert relay.since < relay.until
        return relay

    async def released(by: str) -> None:
        async with seen.unit_of_work() as tx:
            await tx.outbox.release(by=by)

    first = await claimed("relay 1")
    # A claim that lasts long enough is not renewed, so it is made to be short.
    await seen.shorten_lease()
    renewed = await claimed("relay 1")
    assert (renewed.name, renewed.since) == ("relay 1", first.since)
    assert renewed.until > first.until - timedelta(seconds=LEASE_SECONDS - 1)
    await released("relay 1")
    assert (await seen.overview.upkeep()).relay is None
    second = await claimed("relay 2")
    assert second.name == "relay 2"
    assert first.since is not None
    assert second.since is not None
    assert second.since > first.since


async def test_the_time_to_paid_is_that_of_the_last_events(seen: Seen) -> None:
    orders = []
    for number, minutes in ((1, 1), (2, 5)):
        new, event = placed(number=number)
        asked = new.request_payment(PaymentId(UUID(int=number)), at=NOW + timedelta(seconds=1))
        new.reserve_stock({ProductId(1): a_product()}, at=NOW)
        told = new.pay(at=NOW + timedelta(minutes=minutes))
        orders.append((new, [event, asked, told]))
    await keep(seen.unit_of_work, products=[a_product()], orders=[new for new, _ in orders])
    async with seen.unit_of_work() as tx:
        for _, events in orders:
            await tx.events.add_many(events)
    async with seen.unit_of_work() as tx:
        assert await tx.feed.give_positions(by="relay 1", limit=100) == 6

    times = [timedelta(minutes=1), timedelta(minutes=5)]
    assert sorted(await seen.overview.times_to_paid(events=100)) == times
    assert await seen.overview.times_to_paid(events=1) == times[1:]


async def test_who_is_at_work_and_the_last_check_are_known(sql_engine: Any) -> None:
    await SqlHeartbeats(sql_engine).beat("worker", "machine:1")
    upkeep = await SqlOverview(sql_engine).upkeep()
    [process] = upkeep.processes
    assert (process.kind, process.instance) == ("worker", "machine:1")
    assert process.heard is not None


async def test_the_last_check_is_known_once_it_is_committed(seen: Seen) -> None:
    with suppress(ZeroDivisionError):
        async with seen.unit_of_work() as tx:
            await tx.consistency_checks.note({"stock": 9}, whole=True)
            raise ZeroDivisionError
    upkeep = await seen.overview.upkeep()
    assert (upkeep.discrepancies, upkeep.checked_at) == ({}, None)

    async with seen.unit_of_work() as tx:
        await tx.consistency_checks.note({"stock": 2, "charge": 1, "outbox": 0}, whole=False)
    upkeep = await seen.overview.upkeep()
    # It did not see everything.
    assert (upkeep.discrepancies, upkeep.checked_at) == ({"stock": 2, "charge": 1, "outbox": 0}, None)

    async with seen.unit_of_work() as tx:
        await tx.consistency_checks.note({"stock": 0, "charge": 1, "outbox": 0}, whole=True)
    whole = await seen.overview.upkeep()
    assert whole.discrepancies == {"stock": 0, "charge": 1, "outbox": 0}
    assert whole.checked_at is not None

    async with seen.unit_of_work() as tx:
        await tx.consistency_checks.note({"stock": 1, "charge": 0, "outbox": 0}, whole=False)
    later = await seen.overview.upkeep()
    assert (later.discrepancies["stock"], later.checked_at) == (1, whole.checked_at)


async def test_of_checks_that_end_at_once_one_is_the_last(seen: Seen) -> None:
    async def note(number: int) -> None:
        async with seen.unit_of_work() as tx:
            await tx.consistency_checks.note({"stock": number, "charge": number, "outbox": number}, whole=True)

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(note(number) for number in range(1, 9)))
    found = (await seen.overview.upkeep()).discrepancies
    assert len(set(found.values())) == 1
