"""Emptying a shop: in memory, and on every database."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from attrs import frozen
from uuid_utils.compat import uuid7

from adapters.memory.broker import MemoryBroker
from adapters.memory.reset import MemoryResetData
from adapters.memory.store import MemoryStore
from adapters.memory.unit_of_work import MemoryUnitOfWork
from adapters.sql.reset import EMPTIED, SqlResetData
from adapters.sql.tables import metadata
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.access.principal import the_system
from application.catalogue.add_products import AddProducts, NewProduct
from application.errors import Aborted
from application.execution.idempotency import Keyed
from application.intake.order_request import NumberedRequest, OrderRequest, RequestedItem
from application.intake.persist_orders import PersistOrders
from application.intake.place_order import PlaceOrder
from application.messaging.subscriptions import PAYMENTS
from application.payments.pipeline import Answered
from application.payments.process_payment import ProcessPayment
from application.ports.audit import AuditEntry, Caller
from application.ports.feed import FeedRange, Position
from application.ports.files import StoredFile
from application.ports.idempotency import IdempotencyKey
from application.ports.persistence import UnitOfWork
from application.ports.reset import ResetData
from domain.errors import UnknownOrder
from domain.ids import JobId, OrderId, PaymentId, ProductId, UserId
from domain.jobs.job import new_job
from domain.money import Money
from domain.orders.events import OrderAccepted, PaymentRequested
from domain.orders.line import OrderLine
from domain.orders.order import Order
from tests.unit.builders import NOW, euros
from tests.unit.provider import Provider

PEN = ProductId(1)
LATER = NOW + timedelta(minutes=1)


@frozen
class Shop:
    unit_of_work: UnitOfWork
    reset_data: ResetData

    async def reset(self) -> int:
        return await self.reset_data(AuditEntry(at=LATER, by=Caller("ana", "r1"), action="shop.reset", subject="shop"))

    async def order(self, *, pay: bool = False, key: str = "") -> Order:
        request = OrderRequest(UserId(1), (RequestedItem(PEN, 2),), pay)
        numbered = NumberedRequest(OrderId(uuid7()), NOW, request)
        call = Keyed(numbered, IdempotencyKey("customer 1", key), "asked") if key else numbered
        [order] = await PlaceOrder(self.unit_of_work)([call])
        assert isinstance(order, Order)
        return order

    async def give_positions(self) -> None:
        async with self.unit_of_work() as tx:
            await tx.feed.give_positions(by="relay", limit=100)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def empty_shop(request: pytest.FixtureRequest) -> Shop:
    if request.param == "memory":
        store = MemoryStore()
        return Shop(MemoryUnitOfWork(store), MemoryResetData(store))
    engine = request.getfixturevalue(f"{request.param}_engine")
    return Shop(SqlUnitOfWork(engine), SqlResetData(engine))


@pytest.fixture
async def shop(empty_shop: Shop) -> Shop:
    new = NewProduct(id=PEN, name="pen", price=Money(100, "EUR"), stock=10)
    await AddProducts(empty_shop.unit_of_work, lambda: NOW)(the_system("ana"), [new])
    return empty_shop


def accepted(*, at_minutes: int) -> OrderAccepted:
    line = OrderLine(product_id=PEN, quantity=1, unit_price=Money(100, "EUR"))
    at = LATER + timedelta(minutes=at_minutes)
    return OrderAccepted(order_id=OrderId(uuid7()), user_id=UserId(1), lines=(line,), total=Money(100, "EUR"), at=at)


async def test_everything_about_orders_is_gone_and_products_have_all_their_stock(shop: Shop) -> None:
    paid = await shop.order(pay=True, key="k")
    await ProcessPayment(shop.unit_of_work, Provider(), lambda: NOW).due({paid.id}, {})
    job = new_job(id=JobId(uuid7()), kind="export", arguments={}, now=NOW)
    async with shop.unit_of_work() as tx:
        await tx.jobs.add_many([job])
        await tx.files.append(StoredFile(job_id=job.id, name="export"), b"rows", {})
        assert (await tx.products.get_many({PEN}))[PEN].stock == 8

    assert await shop.reset() == 1

    async with shop.unit_of_work() as tx:
        assert await tx.orders.get_many({paid.id}) == {}
        assert await tx.events.of_orders({paid.id}) == []
        assert await tx.outbox.page(after=None, limit=9) == []
        assert await tx.jobs.get_many({job.id}) == {}
        assert (await tx.files.get(job.id, "export"), await tx.files.read(job.id, "export", at=0)) == (None, b"")
        [count] = await tx.products.stock_counts(after=None, limit=9)
        assert (count.left, count.held, count.counted_in) == (10, 0, 10)
        entry, *_ = await tx.audit.page(subject="shop", request_id=None, action=None, before=None, limit=9)
        assert (entry.action, entry.before, entry.by.key_id) == ("shop.reset", {"orders": 1}, "ana")
        assert await tx.shop.emptied_at() == LATER
    # The key of an order that is gone places another one.
    assert (await shop.order(key="k")).id != paid.id


async def test_a_shop_that_was_never_emptied_says_so(shop: Shop) -> None:
    async with shop.unit_of_work() as tx:
        assert await tx.shop.emptied_at() is None


async def test_no_position_is_given_again(shop: Shop) -> None:
    await shop.order()
    await shop.order()
    await shop.give_positions()
    await shop.order()

    await shop.reset()

    async with shop.unit_of_work() as tx:
        bounds = await tx.feed.bounds()
        assert (bounds.oldest, bounds.newest) == (3, 2)
    new = await shop.order()
    await shop.give_positions()
    async with shop.unit_of_work() as tx:
        items = await tx.feed.read(FeedRange(after=Position(0), until=Position(99)), limit=9)
        assert [(item.position, item.event.order_id) for item in items] == [(3, new.id)]


async def test_a_worker_in_the_middle_of_a_charge_brings_no_order_back(shop: Shop) -> None:
    order = await shop.order(pay=True)
    work = ProcessPayment(shop.unit_of_work, Provider(), lambda: NOW)
    due = (await work.due({order.id}, {}))[order.id]
    assert isinstance(due, Order)
    answer = await work.ask(due)

    await shop.reset()

    await work.record([Answered(due, answer)])
    assert isinstance((await work.due({order.id}, {}))[order.id], UnknownOrder)
    async with shop.unit_of_work() as tx:
        assert (await tx.orders.get_many({order.id}), await tx.events.of_orders({order.id})) == ({}, [])
        [count] = await tx.products.stock_counts(after=None, limit=9)
        assert (count.left, count.held) == (10, 0)


async def test_an_order_that_was_accepted_before_is_not_recorded_afterwards(shop: Shop) -> None:
    persist = PersistOrders(shop.unit_of_work)
    early, late = accepted(at_minutes=-1), accepted(at_minutes=1)
    await shop.reset()
    assert await persist([early, late]) == [None, None]
    async with shop.unit_of_work() as tx:
        assert set(await tx.orders.get_many({early.order_id, late.order_id})) == {late.order_id}


async def test_whoever_records_orders_meanwhile_brings_none_back(shop: Shop) -> None:
    persist = PersistOrders(shop.unit_of_work)
    events = [accepted(at_minutes=-1) for _ in range(20)]

    async def record(event: OrderAccepted) -> None:
        await again(lambda: persist([event]))

    async def empty() -> None:
        await asyncio.sleep(0)
        await again(shop.reset)

    await asyncio.gather(*(record(event) for event in events[:10]), empty(), *(record(event) for event in events[10:]))
    async with shop.unit_of_work() as tx:
        # Those that were recorded before were removed.
        assert await tx.orders.get_many({event.order_id for event in events}) == {}
        assert await tx.events.of_orders({event.order_id for event in events}) == []
        assert await tx.outbox.page(after=None, limit=99) == []


async def again(work: Callable[[], Awaitable[object]]) -> None:
    """As the consumer does, and whoever empties a shop."""
    for _ in range(100):
        try:
            await work()
        except Aborted:
            await asyncio.sleep(0.01)
        else:
            return
    raise AssertionError("it was aborted each time")


def test_each_table_is_emptied_or_kept_on_purpose() -> None:
    kept = {
        *("products", "earlier_prices", "stock_adjustments", "api_keys", "audit", "shop", "open_periods"),
        *("feed_head", "outbox_mark", "feed_queue_mark", "leases", "heartbeats", "consistency_checks"),
        *("schema_window", "webhook_endpoints", "webhook_progress", "ended_sessions"),
    }
    assert {table.name for table in EMPTIED} == metadata.tables.keys() - kept


async def test_the_queues_in_a_process_are_emptied() -> None:
    broker = MemoryBroker()
    queue = broker.queue(PAYMENTS)
    queue.put(
        PaymentRequested(order_id=OrderId(uuid7()), sequence=2, at=NOW, payment_id=PaymentId(uuid7()), amount=euros(1))
    )
    queue.bring(b"nonsense")
    assert queue.waiting() == 1
    await broker.empty()
    assert queue.waiting() == 0
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.dead_letters.receive(1), timeout=0.01)
