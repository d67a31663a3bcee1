"""What is promised beyond the port where the data is in tables."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, func, insert, literal_column, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.memory.price_list import MemoryPriceList
from adapters.sql.core.engine import backend_of, create_engine
from adapters.sql.tables.catalogue import products
from adapters.sql.tables.events import order_events, outbox
from adapters.sql.tables.jobs import jobs
from adapters.sql.tables.orders import order_items, orders
from adapters.sql.tables.shop import open_periods
from adapters.sql.tables.webhooks import webhook_endpoints, webhook_progress
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.access.principal import SYSTEM
from application.errors import Aborted, BrokenRow, LaterRelease, Trouble, Unavailable
from application.intake.refresh_prices import RefreshPrices
from application.orders.expire_orders import ExpireOrders
from application.ports.broken import BrokenEndpoint, BrokenJob, BrokenOrder, BrokenOrders, BrokenProduct, broken, sound
from application.ports.feed import EVERYTHING, FeedRange, Position
from application.ports.jobs import place_of
from application.ports.order_search import OrderFilter
from application.ports.outbox import OutboxEntry
from application.ports.persistence import OrderConflict, UnitOfWork
from application.reconciliation.webhooks import CompareWebhooks
from application.webhooks.endpoints import ListEndpoints
from application.webhooks.unsent import SeeUnsent
from domain.ids import JobId, OrderId, PaymentId, ProductId
from domain.jobs.job import Job, JobStatus, new_job
from domain.payments.payment import Payment
from domain.webhooks.progress import begun_after
from tests.contract.conftest import keep
from tests.contract.test_unit_of_work_webhooks import an_endpoint
from tests.unit.builders import LATER, PAYMENT, a_product, an_order, euros, placed

PEN = ProductId(1)

HOUR = timedelta(hours=1)


async def execute(engine: AsyncEngine, *statements: object) -> None:
    """Past every rule of the application, as a person with a database client would."""
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(statement)  # type: ignore[call-overload]


async def claim(unit_of_work: UnitOfWork, by: str) -> list[OutboxEntry]:
    async with unit_of_work() as tx:
        return await tx.outbox.claim(by=by, limit=100)


async def due_jobs(unit_of_work: UnitOfWork, number: int) -> tuple[datetime, list[Job]]:
    """Add as many jobs, each due for an hour longer than the one before. Return them with the database's time."""
    async with unit_of_work() as tx:
        now = await tx.jobs.now()
        made = [
            new_job(id=JobId(UUID(int=each)), kind="message", arguments={"content": "x"}, now=now - each * HOUR)
            for each in range(1, number + 1)
        ]
        await tx.jobs.add_many(made)
    return now, made


async def test_an_order_whose_total_is_wrong_is_found_when_it_is_read(sql_engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    await keep(unit_of_work, products=[a_product()], orders=[an_order()])
    await execute(sql_engine, update(orders).values(total=1))
    with pytest.raises(BrokenRow, match=f"order {UUID(int=1)}.*not the sum of its lines"):
        async with unit_of_work.reading() as tx:
            await tx.orders.get_many([an_order().id])


async def test_an_order_without_lines_is_found_when_it_is_read(sql_engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    await keep(unit_of_work, products=[a_product()], orders=[an_order()])
    await execute(sql_engine, order_items.delete())
    async with unit_of_work.reading() as tx:
        [found] = await tx.orders.page(user_id=None, status=None, before=None, limit=10)
    assert isinstance(found, BrokenOrder)
    assert found.id == UUID(int=1)


BROKEN = {
    "total": [update(orders).values(total=1)],
    "currency": [update(orders).values(currency="eur")],
    "quantity": [update(order_items).values(quantity=7)],
    "no lines": [order_items.delete()],
    "paid, and nothing else": [update(orders).values(status="PAID")],
    "deleted, and paid": [update(orders).values(status="PAID", payment_id=PAYMENT, holds_stock=True, deleted=True)],
    "failed, for no reason": [update(orders).values(status="FAILED", payment_id=PAYMENT)],
    "reason": [update(orders).values(status="FAILED", payment_id=PAYMENT, failure_reason="bad luck")],
    "details": [update(orders).values(details='{"note": 1}')],
    "out of stock": [update(orders).values(out_of_stock="x", failure_reason="out_of_stock")],
}


@pytest.mark.parametrize("how", BROKEN)
async def test_an_order_that_somebody_broke_by_hand_hides_no_other(sql_engine: AsyncEngine, how: str) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    first, bad, last = (an_order(number=number) for number in (1, 2, 3))
    await keep(unit_of_work, products=[a_product()], orders=[first, bad, last])
    of_it = {orders: orders.c.id == bad.id, order_items: order_items.c.order_id == bad.id}
    await execute(sql_engine, *(each.where(of_it[each.table]) for each in BROKEN[how]))
    async with unit_of_work.reading() as tx:
        page = await tx.orders.page(user_id=None, status=None, before=None, limit=10)
        found = await tx.orders.search(OrderFilter(user_id=first.user_id), before=None, limit=10)
        for listed in (page, found.orders):
            assert sound(listed) == [last, first]
            shown = [] if how == "deleted, and paid" else [bad.id]
            assert [order.id for order in broken(listed, BrokenOrder)] == shown
        with pytest.raises(BrokenOrders, match=f"order {bad.id} is stored with") as told:
            await tx.orders.get_many([first.id, bad.id, OrderId(UUID(int=9))])
        assert (told.value.sound, [*told.value.broken]) == ({first.id: first}, [bad.id])
        # The rule, in words alone.
        assert "Attribute(" not in str(told.value)
        assert await tx.orders.get_many([first.id, last.id]) == {first.id: first, last.id: last}


async def test_a_row_whose_value_is_none_of_its_column_hides_no_other(sqlite_engine: AsyncEngine) -> None:
    """SQLite stores any value in any column."""
    unit_of_work = SqlUnitOfWork(sqlite_engine)
    first, bad, last = (an_order(number=number) for number in (1, 2, 3))
    await keep(unit_of_work, products=[a_product()], orders=[first, bad, last])
    this = orders.c.id == bad.id
    await execute(sqlite_engine, update(orders).where(this).values(updated_at=literal_column("'yesterday'")))
    async with unit_of_work.reading() as tx:
        page = await tx.orders.page(user_id=None, status=None, before=None, limit=10)
    assert sound(page) == [last, first]
    [broken_one] = broken(page, BrokenOrder)
    assert broken_one.id == bad.id
    assert "yesterday" in str(broken_one)


@pytest.mark.parametrize("wrong", [{"arguments": "{"}, {"arguments": "[]"}, {"attempts": -1}, {"result": "x"}])
async def test_a_job_that_somebody_broke_by_hand_is_discarded_and_delays_no_other(
    sql_engine: AsyncEngine, wrong: dict[str, Any]
) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    now, made = await due_jobs(unit_of_work, 7)
    bad = [job.id for job in made[2:]]
    await execute(sql_engine, update(jobs).where(jobs.c.id.in_(bad)).values(wrong))
    async with unit_of_work() as tx:
        # Those that can't be read are due for longest, and are more than are asked for.
        due = await tx.jobs.due(now, since=None, limit=2)
        assert [job.id for job in due.jobs] == [made[1].id, made[0].id]
    async with unit_of_work.reading() as tx:
        listed = {job.id: job for job in await tx.jobs.page(kind=None, status=None, before=None, limit=10)}
    assert listed.keys() == {job.id for job in made}
    for id_ in bad:
        assert listed[id_].status is JobStatus.DISCARDED
        assert "is stored with invalid values" in str(listed[id_].error)
        assert listed[id_].arguments == {"unreadable": wrong.get("arguments", '{"content":"x"}')}


@pytest.mark.parametrize("wrong", [{"arguments": "{"}, {"attempts": -1}, {"result": "x"}])
async def test_a_job_that_somebody_broke_by_hand_stands_in_its_place_in_lists(
    sql_engine: AsyncEngine, wrong: dict[str, Any]
) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    _, made = await due_jobs(unit_of_work, 3)
    await execute(sql_engine, update(jobs).where(jobs.c.id == made[1].id).values(wrong))
    async with unit_of_work.reading() as tx:
        first, bad = await tx.jobs.page(kind=None, status=None, before=None, limit=2)
        after = await tx.jobs.page(kind=None, status=None, before=place_of(bad), limit=2)
    assert first == made[0]
    assert isinstance(bad, BrokenJob)
    assert f"job {made[1].id} is stored with invalid values" in str(bad)
    assert after == [made[2]]


@pytest.mark.parametrize("wrong", [{"events": "x"}, {"headers": "[]"}, {"payload": "y"}, {"secrets": "{"}])
async def test_an_endpoint_that_somebody_broke_by_hand_stands_in_its_place_in_lists(
    sql_engine: AsyncEngine, wrong: dict[str, Any]
) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    made = sorted((an_endpoint() for _ in range(3)), key=lambda each: each.id)
    async with unit_of_work() as tx:
        await tx.webhook_endpoints.add_many(made)
        await tx.webhook_progress.add_many([begun_after(each.id, 0) for each in made])
    bad = made[1].id
    await execute(sql_engine, update(webhook_endpoints).where(webhook_endpoints.c.id == bad).values(wrong))
    first, broken_one, last = await ListEndpoints(unit_of_work)(SYSTEM, limit=10)
    assert [first.id, last.id] == [made[0].id, made[2].id]
    assert isinstance(broken_one, BrokenEndpoint)
    assert f"webhook endpoint {bad} is stored with invalid values" in str(broken_one)
    assert set((await SeeUnsent(unit_of_work)(SYSTEM, OrderId(UUID(int=1)))).receivers) == {first.id, last.id}
    [told] = await CompareWebhooks(unit_of_work)()
    assert (told.about, told.what) == ("broken", str(broken_one))


async def test_an_endpoint_whose_progress_somebody_broke_by_hand_hides_no_other(sqlite_engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(sqlite_engine)
    made = sorted((an_endpoint() for _ in range(2)), key=lambda each: each.id)
    async with unit_of_work() as tx:
        await tx.webhook_endpoints.add_many(made)
        await tx.webhook_progress.add_many([begun_after(each.id, 0) for each in made])
    this = webhook_progress.c.endpoint_id == made[0].id
    await execute(sqlite_engine, update(webhook_progress).where(this).values(due_at=literal_column("'never'")))
    broken_one, sound_one = await ListEndpoints(unit_of_work)(SYSTEM, limit=10)
    assert isinstance(broken_one, BrokenEndpoint)
    assert (broken_one.id, sound_one.id) == (made[0].id, made[1].id)


async def test_a_broken_order_that_nobody_has_paid_for_keeps_no_other_from_expiring(sql_engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    first, bad, last = (an_order(number=number) for number in (1, 2, 3))
    await keep(unit_of_work, products=[a_product()], orders=[first, bad, last])
    now, minute = datetime.now(UTC), timedelta(minutes=1)
    await execute(
        sql_engine,
        insert(open_periods).values(since=now - 60 * minute, until=now),
        update(orders).values(recorded_at=now - 50 * minute),
        update(order_items).where(order_items.c.order_id == bad.id).values(quantity=77),
    )
    expire = ExpireOrders(unit_of_work, lambda: LATER, 30 * minute, look_every=minute)
    report = await expire()
    assert set(report.expired) == {first.id, last.id}
    [(failed, why)] = report.failed
    assert failed == bad.id
    assert isinstance(why, BrokenRow)


@pytest.mark.parametrize("values", [{"currency": "eur"}, {"metadata": "x"}, {"metadata": '{"note": 1}'}], ids=str)
async def test_a_product_that_somebody_broke_by_hand_hides_no_other(
    sql_engine: AsyncEngine, values: dict[str, str]
) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    first, bad, last = (a_product(number) for number in (1, 2, 3))
    await keep(unit_of_work, products=[first, bad, last])
    await execute(sql_engine, update(products).where(products.c.id == bad.id).values(values))
    async with unit_of_work.reading() as tx:
        for active in (None, True):
            page = await tx.products.page(after=None, limit=10, active=active)
            assert sound(page) == [first, last]
            [found] = broken(page, BrokenProduct)
            assert (found.id, "product 2 is stored with" in str(found)) == (2, True)
        # It takes its place, so that a page is as long as it should be.
        assert [each.id for each in await tx.products.page(after=None, limit=2)] == [1, 2]
        assert await tx.products.get_many([first.id, last.id]) == {1: first, 3: last}
        with pytest.raises(BrokenRow, match="product 2 is stored with"):
            await tx.products.get_many([first.id, bad.id])
    prices = MemoryPriceList()
    await RefreshPrices(unit_of_work, prices, page=2)()
    assert prices.get_many([first.id, bad.id, last.id]) == {1: first, 3: last}


async def test_an_event_that_is_no_event_is_found_when_it_is_read(sql_engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    _, placed_event = placed()
    async with unit_of_work() as tx:
        await tx.events.add_many([placed_event])
    await execute(sql_engine, update(order_events).values(body="{}"))
    with pytest.raises(BrokenRow, match="event of order"):
        async with unit_of_work.reading() as tx:
            await tx.events.of_orders([placed_event.order_id])


@pytest.mark.parametrize("body", ['{"type":"order.teleported","schema":1}', '{"type":"order.placed","schema":2}'])
async def test_an_event_of_a_later_release_is_for_that_one_to_read(sql_engine: AsyncEngine, body: str) -> None:
    """Whoever asks here asks again, maybe that release. No event is skipped, and no other order is affected."""
    unit_of_work = SqlUnitOfWork(sql_engine)
    (early, first), (late, second) = placed(), placed(number=2)
    async with unit_of_work() as tx:
        await tx.products.add_many([a_product()])
        await tx.orders.add_many([early, late])
        await tx.events.add_many([first])
        await tx.events.add_many([second])
        assert await tx.feed.give_positions(by="relay", limit=10) == 2
    await execute(sql_engine, update(order_events).where(order_events.c.order_id == late.id).values(body=body))
    async with unit_of_work.reading() as tx:
        with pytest.raises(LaterRelease, match="was stored by a later release"):
            await tx.events.of_orders([late.id])
        with pytest.raises(LaterRelease):
            await tx.feed.read(FeedRange(after=Position(1), until=Position(2), only=EVERYTHING), limit=10)
        assert await tx.events.of_orders([early.id]) == [first]
        read = await tx.feed.read(FeedRange(after=Position(0), until=Position(1), only=EVERYTHING), limit=10)
        assert [item.event for item in read] == [first]


@pytest.mark.parametrize(
    "statement",
    [
        update(products).values(stock=-1),
        update(products).values(price=-1),
        update(orders).values(status="LOST"),
        update(orders).values(holds_stock=True),
        update(order_items).values(quantity=0),
        update(order_items).values(product_id=99),
        products.delete(),
        orders.delete(),
    ],
    ids=str,
)
async def test_the_tables_refuse_what_cannot_be(sql_engine: AsyncEngine, statement: object) -> None:
    await keep(SqlUnitOfWork(sql_engine), products=[a_product()], orders=[an_order()])
    with pytest.raises(IntegrityError):
        await execute(sql_engine, statement)


async def test_an_order_never_has_two_payments_under_way(sql_engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    order = an_order()
    await keep(unit_of_work, products=[a_product()], orders=[order])
    payments = [Payment(id=PaymentId(UUID(int=n)), order_id=order.id, amount=euros(2500)) for n in (1, 2)]
    with pytest.raises(OrderConflict, match="open payment"):
        async with unit_of_work() as tx:
            await tx.payments.add_many(payments)


async def test_a_block_that_only_reads_cannot_write(sql_engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    with pytest.raises(RuntimeError, match="only reads"):
        async with unit_of_work.reading() as tx:
            await tx.products.add_many([a_product()])
    with pytest.raises(RuntimeError, match="only reads"):
        async with unit_of_work.reading() as tx:
            await tx.products.get_many([PEN], lock=True)


async def test_a_block_in_which_a_statement_failed_cannot_commit(sql_engine: AsyncEngine) -> None:
    """PostgreSQL would roll back without a word."""
    unit_of_work = SqlUnitOfWork(sql_engine)
    await keep(unit_of_work, products=[a_product()])

    async def go_on_regardless() -> None:
        async with unit_of_work() as tx:
            await tx.products.add_many([a_product(2)])
            with pytest.raises(Aborted):
                await tx.products.add_many([a_product()])

    with pytest.raises(Aborted, match="can't commit"):
        await go_on_regardless()
    async with unit_of_work.reading() as tx:
        assert await tx.products.last_id() == PEN


async def test_the_statements_are_the_same_for_every_size_of_a_batch(
    sql_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    sent: dict[int, set[str]] = {}
    await keep(unit_of_work, products=[a_product()])

    def listen(ask: Callable[..., Any]) -> Callable[..., Any]:
        async def asked(self: object, connection: object, made: Any, arguments: Sequence[Any]) -> Any:
            statements.add(made.sql)
            return await ask(self, connection, made, arguments)

        return asked

    driver = type(backend_of(sql_engine).dialect.driver)
    for method in ("fetch", "change"):
        monkeypatch.setattr(driver, method, listen(getattr(driver, method)))
    for size in (1, 7, 40):
        statements: set[str] = set()
        new = [placed(number=size * 1000 + number) for number in range(1, size + 1)]
        async with unit_of_work() as tx:
            await tx.orders.add_many([order for order, _ in new])
            await tx.events.add_many([placed_event for _, placed_event in new])
            found = await tx.orders.get_many([order.id for order, _ in new], lock=True)
            for order in found.values():
                order.cancel(at=LATER)
            await tx.orders.save_many(list(found.values()))
        sent[size] = statements
    assert sent[1] == sent[7] == sent[40]
    assert len(sent[1]) > 3


async def test_more_rows_than_a_statement_may_have_variables_are_one_batch(sql_engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    many = [a_product(number) for number in range(1, 40_001)]
    await keep(unit_of_work, products=many)
    async with unit_of_work.reading() as tx:
        assert len(await tx.products.get_many([product.id for product in many])) == len(many)


async def test_the_outbox_keeps_nothing_that_has_left(sql_engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    async with unit_of_work() as tx:
        await tx.events.add_many([placed()[1]])
    entries = await claim(unit_of_work, "relay 1")
    async with unit_of_work() as tx:
        await tx.outbox.remove(entries)
    async with sql_engine.connect() as connection:
        assert (await connection.execute(select(func.count()).select_from(outbox))).scalar_one() == 0


async def test_orders_can_be_placed_while_somebody_holds_their_product(postgres_engine: AsyncEngine) -> None:
    """Their lines point at a product that the worker has locked."""
    unit_of_work = SqlUnitOfWork(postgres_engine)
    await keep(unit_of_work, products=[a_product()])
    async with asyncio.timeout(60), unit_of_work() as tx:
        await tx.products.get_many([PEN], lock=True)
        await keep(unit_of_work, orders=[an_order()])


async def test_a_lock_that_takes_too_long_is_given_up(migrated_postgres: str, postgres_engine: AsyncEngine) -> None:
    await keep(SqlUnitOfWork(postgres_engine), products=[a_product()])
    impatient = create_engine(migrated_postgres, lock_timeout=0.2)
    try:
        async with SqlUnitOfWork(postgres_engine)() as tx:
            await tx.products.get_many([PEN], lock=True)
            with pytest.raises(Aborted, match="lock timeout"):
                async with SqlUnitOfWork(impatient)() as second:
                    await second.products.get_many([PEN], lock=True)
    finally:
        await impatient.dispose()


async def test_a_transaction_that_does_nothing_loses_what_it_has_locked(
    migrated_postgres: str, postgres_engine: AsyncEngine
) -> None:
    await keep(SqlUnitOfWork(postgres_engine), products=[a_product()])
    patient = create_engine(migrated_postgres, lock_timeout=9)
    try:
        with pytest.raises(Trouble):
            await _outlive_its_locks(SqlUnitOfWork(postgres_engine), SqlUnitOfWork(patient))
    finally:
        await patient.dispose()


async def _outlive_its_locks(idle: SqlUnitOfWork, patient: SqlUnitOfWork) -> None:
    async with idle() as tx:
        await tx.products.get_many([PEN], lock=True)
        async with patient() as second:
            assert await second.products.get_many([PEN], lock=True)


async def test_a_pool_that_is_used_up_is_told_within_its_bound(migrated_postgres: str) -> None:
    engine = create_engine(migrated_postgres, pool_size=1)
    unit_of_work = SqlUnitOfWork(engine)
    try:
        async with unit_of_work() as tx:
            await tx.products.last_id()
            with pytest.raises(Unavailable, match="every connection to it is in use"):
                async with asyncio.timeout(60), unit_of_work() as second:
                    await second.products.last_id()
    finally:
        await engine.dispose()


async def test_whoever_waits_for_a_connection_is_not_overtaken(migrated_postgres: str) -> None:
    connections = 3
    engine = create_engine(migrated_postgres, pool_size=connections)
    unit_of_work, asked, served = SqlUnitOfWork(engine), list[Any](), list[Any]()
    all_open = asyncio.Barrier(connections)

    @event.listens_for(engine.sync_engine, "checkout")
    def serve(*_: Any) -> None:
        served.append(asyncio.current_task())

    async def open_one() -> None:
        async with unit_of_work.reading() as tx:
            asked.append(asyncio.current_task())
            await tx.products.last_id()
            await all_open.wait()

    async def keep_reading() -> None:
        for _ in range(20):
            async with unit_of_work.reading() as tx:
                asked.append(asyncio.current_task())
                await tx.products.last_id()

    try:
        await asyncio.gather(*(open_one() for _ in range(connections)))
        async with asyncio.TaskGroup() as group:
            for _ in range(10 * connections):
                group.create_task(keep_reading())
    finally:
        await engine.dispose()
    # Which of the connections is open first is chance.
    assert served[connections:] == asked[connections:]


async def test_a_block_that_is_left_early_keeps_no_connection(sql_engine: AsyncEngine) -> None:
    engine = create_engine(sql_engine.url, pool_size=1)
    unit_of_work = SqlUnitOfWork(engine)

    async def leave(error: BaseException) -> None:
        async with unit_of_work() as tx:
            await tx.products.last_id()
            raise error

    try:
        for error in (RuntimeError("a mistake"), asyncio.CancelledError()):
            with pytest.raises(type(error)):
                await leave(error)
        async with unit_of_work.reading() as tx:
            await tx.products.last_id()
    finally:
        await engine.dispose()


async def test_two_processes_write_to_one_sqlite_file_in_turns(
    sqlite_engine: AsyncEngine, open_engines: Callable[[str], AsyncEngine]
) -> None:
    await keep(SqlUnitOfWork(sqlite_engine), products=[a_product(stock=20)])
    path = sqlite_engine.url.render_as_string()

    async def take(unit_of_work: UnitOfWork) -> None:
        async with unit_of_work() as tx:
            [pen] = (await tx.products.get_many([PEN], lock=True)).values()
            pen.take(1)
            await tx.products.save_many([pen])

    # As two processes are: each with an engine, and so with a queue for writers, of its own.
    units = [SqlUnitOfWork(open_engines(path)), SqlUnitOfWork(open_engines(path))]
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(take(units[number % 2]))
    async with units[0].reading() as tx:
        assert (await tx.products.get_many([PEN]))[PEN].stock == 0
