"""What the relay looks at in the database for the metrics: on every database."""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from attrs import evolve
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.engine import measure
from adapters.sql.samples import Sample, SqlSamples
from adapters.sql.stuck_orders import StuckOrders
from adapters.sql.unit_of_work import SqlUnitOfWork
from adapters.telemetry.prometheus import PrometheusTelemetry
from domain.dead_letter import DeadMessage
from domain.ids import OrderId
from domain.orders.status import OrderStatus
from domain.webhooks.endpoint import Disabled, Signature
from tests.contract.conftest import keep
from tests.contract.test_unit_of_work_webhooks import an_endpoint
from tests.engines import engine_on
from tests.unit.builders import NOW, a_product, an_order, order_in, placed

SOON = timedelta(minutes=10)


async def test_in_an_empty_shop_nothing_waits(sql_engine: AsyncEngine) -> None:
    assert await SqlSamples(sql_engine).take(relay="relay 1") == Sample(
        outbox_pending=0, outbox_oldest_age=0.0, feed_position=0, dead_letters=0, leads=False
    )
    assert await StuckOrders(sql_engine).count(after=SOON) == {"PROCESSING": 0, "REFUND": 0}


async def test_what_the_last_check_has_found_is_kept_and_when_one_last_saw_everything(sql_engine: AsyncEngine) -> None:
    samples = SqlSamples(sql_engine)

    async def note(found: Mapping[str, int], *, whole: bool) -> None:
        async with SqlUnitOfWork(sql_engine)() as tx:
            await tx.consistency_checks.note(found, whole=whole)

    await note({"stock": 2, "provider": 1}, whole=False)
    sample = await samples.take(relay="relay 1")
    assert (sample.discrepancies, sample.compared_at) == ({"stock": 2, "provider": 1}, None)

    await note({"stock": 1, "provider": 0}, whole=True)
    first = await samples.take(relay="relay 1")
    await note({"stock": 0, "provider": 1}, whole=False)
    second = await samples.take(relay="relay 1")
    assert (first.discrepancies, second.discrepancies) == ({"stock": 1, "provider": 0}, {"stock": 0, "provider": 1})
    assert first.compared_at is not None
    assert first.compared_at == second.compared_at


async def test_what_waits_is_counted(sql_engine: AsyncEngine) -> None:
    unit_of_work, samples = SqlUnitOfWork(sql_engine), SqlSamples(sql_engine)
    await keep(unit_of_work, products=[a_product()], orders=[an_order()])
    _, event = placed()
    async with unit_of_work() as tx:
        await tx.events.add_many([event])
        message = DeadMessage(body=b"1", reason="bad", attempts=1, first_at=NOW, last_at=NOW)
        await tx.dead_letters.record("payments", [message])
        await tx.outbox.claim(by="relay 1", limit=1)

    sample = await samples.take(relay="relay 1")

    assert (sample.outbox_pending, sample.dead_letters, sample.leads) == (1, 1, True)
    # The event is from a day in the past.
    assert sample.outbox_oldest_age > 0
    assert not (await samples.take(relay="relay 2")).leads


async def test_enabled_endpoints_that_are_signed_for_by_the_shop_are_counted(sql_engine: AsyncEngine) -> None:
    by_shop = [an_endpoint(signature=Signature.V1A) for _ in range(2)]
    others = [
        an_endpoint(),
        an_endpoint(signature=Signature.V1A, disabled=Disabled.BY_HAND, disabled_at=NOW),
        an_endpoint(signature=Signature.V1A, deleted_at=NOW),
    ]
    async with SqlUnitOfWork(sql_engine)() as tx:
        await tx.webhook_endpoints.add_many([*by_shop, *others])
    assert (await SqlSamples(sql_engine).take(relay="relay 1")).signed_by_shop == len(by_shop)


async def test_orders_that_wait_too_long_are_stuck_by_what_they_wait_for(sql_engine: AsyncEngine) -> None:
    processing, _ = order_in(OrderStatus.PROCESSING)
    paid, _ = order_in(OrderStatus.PAID)
    refunding = evolve(paid, id=OrderId(UUID(int=2)), refund_requested=True)
    await keep(SqlUnitOfWork(sql_engine), products=[a_product()], orders=[processing, refunding])
    stuck = StuckOrders(sql_engine)
    assert await stuck.count(after=SOON) == {"PROCESSING": 1, "REFUND": 1}
    assert await stuck.count(after=timedelta(days=36_500)) == {"PROCESSING": 0, "REFUND": 0}


async def test_the_pool_is_measured(sql_engine: AsyncEngine) -> None:
    telemetry = PrometheusTelemetry()
    async with engine_on(sql_engine.url, pool_size=3) as engine:
        measure(engine, telemetry)
        async with SqlUnitOfWork(engine)() as tx:
            await tx.products.page(after=None, limit=1, active=None)
            assert 'holdfast_db_pool_connections{state="in_use"} 1.0' in telemetry.rendered().decode()
        shown = telemetry.rendered().decode()
    assert 'holdfast_db_pool_connections{state="in_use"} 0.0' in shown
    assert 'holdfast_db_pool_connections{state="idle"} 1.0' in shown
    assert "holdfast_db_pool_wait_seconds_count 1.0" in shown
