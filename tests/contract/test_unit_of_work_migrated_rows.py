"""A database with rows of every release loses none of them on its way to this one."""

import asyncio
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.codecs import events, stored_responses
from adapters.sql import migrate as migrating
from adapters.sql.core.engine import create_engine
from adapters.sql.migrate import migrate
from adapters.sql.migrations.changing import change_check
from adapters.sql.revisions import revisions
from adapters.sql.tables import metadata
from adapters.sql.unit_of_work import SqlUnitOfWork
from domain.ids import OrderId, ProductId
from tests.contract.test_unit_of_work_migrations import details
from tests.unit.builders import NOW, PAYMENT, a_line, placed

ORDER = OrderId(UUID(int=1))
# As the first releases wrote them, by the table: each is inserted as soon as there is such a table.
ROWS: dict[str, str] = {
    "products": "INSERT INTO products (id, name, price, currency, stock, created_at)"
    " VALUES (1, 'pen', 1250, 'EUR', 3, :now)",
    "orders": "INSERT INTO orders (id, user_id, status, total, currency, failure_reason, payment_id, holds_stock,"
    " refund_requested, deleted, version, created_at, updated_at)"
    " VALUES (:order, 1, 'PROCESSING', 2500, 'EUR', NULL, :payment, true, false, false, 3, :now, :now)",
    "order_items": "INSERT INTO order_items VALUES (:order, 0, 1, 2, 1250)",
    "payments": "INSERT INTO payments VALUES (:payment, :order, 2500, 'EUR', 'REQUESTED', NULL)",
    "order_events": "INSERT INTO order_events VALUES (:order, 1, 'order.placed', :now, :event)",
    "outbox": "INSERT INTO outbox (order_id, sequence, type, body) VALUES (:order, 1, 'order.placed', :event)",
    "inbox": "INSERT INTO inbox (consumer, order_id, sequence) VALUES ('payments', :order, 2)",
    "leases": "INSERT INTO leases VALUES ('other', 'ana', :now)",
    "stock_adjustments": "INSERT INTO stock_adjustments (product_id, change, reason, made_by, at)"
    " VALUES (1, 5, 'first count', 'ana', :now)",
    "idempotency_keys": "INSERT INTO idempotency_keys (scope, key, fingerprint, answer, created_at)"
    " VALUES ('customer 1', 'monday', 'asked', :answer, :now)",
    "dead_letters": "INSERT INTO dead_letters (consumer, digest, body, reason, attempts, first_at, last_at)"
    " VALUES ('payments', 'digest', :body, 'bad', 1, :now, :now)",
}


@pytest.fixture(params=["sqlite", "postgres"], scope="module")
def backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


@pytest.fixture
def engine(
    request: pytest.FixtureRequest, backend: str, tmp_path: Path, open_engines: Callable[[str], AsyncEngine]
) -> AsyncEngine:
    if backend == "sqlite":
        return open_engines(f"sqlite:///{tmp_path / 'new.db'}")
    return open_engines(request.getfixturevalue("new_database")())


def insert(connection: Connection, table: str) -> None:
    order, event = placed(a_line())
    is_sqlite = connection.dialect.name == "sqlite"
    values = {
        "now": NOW.replace(tzinfo=None).isoformat(" ") + ".000000" if is_sqlite else NOW,
        "order": ORDER.hex if is_sqlite else ORDER,
        "payment": PAYMENT.hex if is_sqlite else PAYMENT,
        "event": events.encode(event).decode(),
        "answer": stored_responses.encode(order).decode(),
        "body": b"rubbish",
    }
    statement = text(ROWS[table])
    connection.execute(statement, {name: values[name] for name in statement.compile().params})


def rows(connection: Connection, columns: dict[str, list[str]] | None = None) -> dict[str, list[tuple[object, ...]]]:
    """As the driver gives them: to reflect each table of each revision takes ten times as long."""
    quote = connection.dialect.identifier_preparer.quote
    return {
        name: [
            tuple(row)
            for row in connection.exec_driver_sql(f"SELECT {', '.join(map(quote, wanted))} FROM {name}")  # noqa: S608
        ]
        for name, wanted in (columns or columns_of(connection)).items()
    }


def columns_of(connection: Connection) -> dict[str, list[str]]:
    return {
        name: [column["name"] for column in columns]
        for (_, name), columns in inspect(connection).get_multi_columns().items()
        if name in ROWS
    }


@pytest.fixture(scope="module")
def grown_up(request: pytest.FixtureRequest, backend: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database that was migrated step by step: each test gets a copy."""
    if backend == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('grown-up') / 'old.db'}"
    else:
        url = request.getfixturevalue("new_database")()

    async def grow() -> None:
        engine = create_engine(url, statement_timeout=600)
        try:
            await migrate_step_by_step(engine)
        finally:
            await engine.dispose()

    # In a thread of its own, so that no event loop of a test is disturbed.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, grow()).result(timeout=300)
    return url


@pytest.fixture
def old(
    request: pytest.FixtureRequest, grown_up: str, tmp_path: Path, open_engines: Callable[[str], AsyncEngine]
) -> AsyncEngine:
    if grown_up.startswith("sqlite:///"):
        copy = shutil.copy(grown_up.removeprefix("sqlite:///"), tmp_path / "old.db")
        return open_engines(f"sqlite:///{copy}")
    return open_engines(request.getfixturevalue("new_database")(like=grown_up))


async def migrate_step_by_step(engine: AsyncEngine) -> None:
    """With a row in each table since there was one; no step may lose or change any."""
    known: dict[str, list[str]] = {}
    for revision in revisions():
        async with engine.connect() as connection:
            before = await connection.run_sync(rows, known) if known else {}
        await migrate(engine, to=revision)
        async with engine.begin() as connection:
            if known:
                assert await connection.run_sync(rows, known) == before
            there = await connection.run_sync(columns_of)
            for table in ROWS:
                if table in there and table not in known:
                    await connection.run_sync(insert, table)
            known = there
    assert known.keys() == ROWS.keys()


async def test_no_row_is_lost_and_each_is_read(old: AsyncEngine) -> None:
    async with SqlUnitOfWork(old).reading() as tx:
        order = (await tx.orders.get_many([ORDER]))[ORDER]
        assert (order.user_id, order.total, order.payment_id) == (1, order.lines[0].total, PAYMENT)
        assert (await tx.products.get_many([ProductId(1)]))[ProductId(1)].stock == 3
        assert (await tx.payments.get_many([PAYMENT])).keys() == {PAYMENT}
        assert [event.sequence for event in await tx.events.of_orders([ORDER])] == [1]
        assert [entry.id.order_id for entry in await tx.outbox.page(after=None, limit=10)] == [ORDER]
        assert [letter.message.body for letter in await tx.dead_letters.page(decided=False, after=None, limit=10)] == [
            b"rubbish"
        ]
        assert await tx.stock_adjustments.totals([ProductId(1)]) == {1: 5}


STATUSES = "status IN ('PENDING', 'PROCESSING', 'PAID', 'LOST')"


async def change(engine: AsyncEngine, condition: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a migration does that is still to come."""

    applied: list[str] = []

    def upgrade(connection: Connection, _: str) -> str | None:
        if applied:
            return None
        change_check(connection, "orders", "orders_status_is_known", condition)
        applied.append("later")
        return "later"

    with monkeypatch.context() as patch:
        patch.setattr(migrating, "_upgrade", upgrade)
        assert await migrate(engine) == ["later"]


async def test_a_check_of_a_table_that_others_refer_to_can_be_changed(
    old: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with old.connect() as connection:
        before, made = await connection.run_sync(rows), await connection.run_sync(details)
    await change(old, STATUSES, monkeypatch)
    async with old.connect() as connection:
        after = await connection.run_sync(details)
        assert await connection.run_sync(rows) == before
    for table in metadata.tables:
        # All but the check itself is as it was: other checks, indexes with their conditions, keys, columns.
        assert after[table][1:] == made[table][1:]
    names = {check["name"]: check["sqltext"] for check in after["orders"][0]}
    assert names.keys() == {check["name"] for check in made["orders"][0]}
    assert "LOST" in names["orders_status_is_known"]
    unit_of_work = SqlUnitOfWork(old)
    async with old.begin() as connection:
        await connection.execute(text("UPDATE orders SET status = 'LOST', holds_stock = false"))
    with pytest.raises(IntegrityError):
        async with old.begin() as connection:
            await connection.execute(text("UPDATE orders SET status = 'EXPIRED'"))
    # Foreign keys hold as before.
    with pytest.raises(IntegrityError):
        async with old.begin() as connection:
            await connection.execute(text("DELETE FROM orders"))
    async with unit_of_work.reading() as tx:
        assert len(await tx.outbox.page(after=None, limit=10)) == 1


async def test_rows_that_do_not_meet_a_new_check_stop_the_step_whole(
    old: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with old.connect() as connection:
        before, made = await connection.run_sync(rows), await connection.run_sync(details)
    with pytest.raises(IntegrityError):
        await change(old, "status = 'PENDING'", monkeypatch)
    async with old.connect() as connection:
        assert await connection.run_sync(rows) == before
        assert await connection.run_sync(details) == made


async def test_a_step_that_breaks_a_foreign_key_is_not_committed(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite does not look by itself while tables are made anew."""
    await migrate(engine)
    async with engine.begin() as connection:
        for table in ("products", "orders", "order_items"):
            await connection.run_sync(insert, table)

    def lose_the_orders(connection: Connection, _: str) -> str:
        connection.execute(text("DELETE FROM orders"))
        return "later"

    monkeypatch.setattr(migrating, "_upgrade", lose_the_orders)
    with pytest.raises((RuntimeError, IntegrityError)):
        await migrate(engine)
    async with SqlUnitOfWork(engine).reading() as tx:
        assert (await tx.orders.get_many([ORDER])).keys() == {ORDER}
