"""A table that somebody has locked, as a migration does: what is in it is unknown, and what else there is, is told."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.memory.caches import MemoryRecentOrders
from adapters.sql.shop_overview import SqlOverview
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.intake.unrecorded import Unrecorded
from application.orders.explain_order import ExplainOrder
from application.orders.standing import SENT, UNKNOWN_PLACE, Deadlines
from application.payments.request_payment import RequestPayment
from domain.orders.order import Order
from tests.contract.conftest import keep
from tests.unit.builders import NOW, a_product, an_order

_DEADLINES = Deadlines(expiry=timedelta(minutes=30), stuck_after=timedelta(minutes=10))
# Of each table, the part that is unknown, and what is told of an order that waits for the worker.
_PARTS = {
    "webhook_deliveries": ("its webhooks", SENT),
    "jobs": ("what was asked for and waits", SENT),
    "feed": ("when its events came into the feed", SENT),
    "outbox": ("what of it waits in the outbox", UNKNOWN_PLACE.because),
    "announcements": ("what of it waits in the outbox", UNKNOWN_PLACE.because),
    "dead_letters": ("the dead letters", UNKNOWN_PLACE.because),
    "heartbeats": ("what is heard of the provider", SENT),
}


@pytest.mark.parametrize("table", _PARTS)
async def test_an_order_is_explained_though_a_table_beside_it_is_locked(
    postgres_engine: AsyncEngine, table: str
) -> None:
    unit_of_work, order = SqlUnitOfWork(postgres_engine), an_order()
    await keep(unit_of_work, products=[a_product()], orders=[order])
    [waiting] = await RequestPayment(unit_of_work, lambda: NOW)([order.id])
    assert isinstance(waiting, Order)
    async with unit_of_work() as tx:
        await tx.outbox.remove(await tx.outbox.page(after=None, limit=10))
    recent = MemoryRecentOrders()
    explain = ExplainOrder(unit_of_work, Unrecorded(recent, recent), SqlOverview(postgres_engine), _DEADLINES)
    assert (await explain(order.id)).beside == []
    async with postgres_engine.begin() as locking:
        await locking.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        await locking.execute(text(f"LOCK TABLE {table}"))
        told = await explain(order.id, patience=2.0)
    unknown, because = _PARTS[table]
    assert (told.order, told.standing.because) == (waiting, because)
    assert [step.what for step in told.steps] == ["order.payment_requested"]
    assert told.beside == [f"{unknown} can't be read now: no answer within 2 s"]
