"""The periods in which the shop was open, by the clock of the database."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.tables.orders import orders
from adapters.sql.tables.shop import open_periods
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.ports.persistence import UnitOfWork
from domain.orders.time_to_pay import OpenPeriod
from tests.contract.conftest import keep
from tests.unit.builders import a_product, an_order

GAP = timedelta(seconds=60)
YEAR = timedelta(days=365)


@pytest.fixture
def shop(unit_of_work: UnitOfWork) -> UnitOfWork:
    return unit_of_work


async def note(shop: UnitOfWork, gap: timedelta = GAP) -> list[OpenPeriod]:
    async with shop() as tx:
        await tx.open_periods.note(longest_gap=gap)
    async with shop.reading() as tx:
        return await tx.open_periods.newest(limit=10)


async def test_a_shop_that_was_never_open_has_no_periods(shop: UnitOfWork) -> None:
    async with shop.reading() as tx:
        assert await tx.open_periods.newest(limit=10) == []


async def test_notes_that_follow_each_other_are_one_period(shop: UnitOfWork) -> None:
    [first] = await note(shop)
    assert first.until - first.since == pytest.approx(GAP, abs=timedelta(milliseconds=50))
    await asyncio.sleep(0.002)
    [longer] = await note(shop)
    assert longer.since == first.since
    assert longer.until > first.until


async def test_after_a_longer_gap_a_new_period_begins(shop: UnitOfWork) -> None:
    [first] = await note(shop)
    await asyncio.sleep(0.02)
    second, *others = await note(shop, timedelta(milliseconds=5))
    assert others == [first]
    assert first.until < second.since < second.until
    async with shop.reading() as tx:
        assert await tx.open_periods.newest(limit=1) == [second]


async def test_a_note_that_was_rolled_back_leaves_nothing(shop: UnitOfWork) -> None:
    async def note_and_fail() -> None:
        async with shop() as tx:
            await tx.open_periods.note(longest_gap=GAP)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await note_and_fail()
    async with shop.reading() as tx:
        assert await tx.open_periods.newest(limit=10) == []


async def test_two_workers_may_note_at_once(shop: UnitOfWork) -> None:
    await asyncio.gather(*(note(shop) for _ in range(5)))
    assert (await note(shop))[0].since < (await note(shop))[0].until


async def stepped(engine: AsyncEngine, by: timedelta) -> None:
    """Shift all that was recorded: what a step of the clock in the other direction amounts to."""
    async with engine.begin() as connection:
        for table, columns in ((open_periods, ("since", "until")), (orders, ("recorded_at",))):
            for row in (await connection.execute(table.select())).all():
                key = next(iter(table.primary_key))
                changes = {name: getattr(row, name) + by for name in columns}
                await connection.execute(table.update().where(key == getattr(row, key.name)).values(changes))


@pytest.mark.parametrize("step", [timedelta(minutes=5), YEAR], ids=str)
async def test_what_is_in_the_future_is_not_believed(sql_engine: AsyncEngine, step: timedelta) -> None:
    shop = SqlUnitOfWork(sql_engine)
    await keep(shop, products=[a_product()], orders=[an_order()])
    await note(shop)
    await stepped(sql_engine, step)
    now, *_ = await note(shop)
    async with shop() as tx:
        await tx.orders.redate_unpaid()
    async with shop.reading() as tx:
        assert await tx.orders.unpaid_since(now.until - timedelta(seconds=1), after=None, limit=10) == []
    later, *_ = await note(shop)
    async with shop.reading() as tx:
        assert await tx.orders.unpaid_since(later.until, after=None, limit=10) == [an_order().id]


async def test_a_row_of_the_release_before_counts_from_when_it_was_inserted(postgres_engine: AsyncEngine) -> None:
    """It may still run while the tables are new, and knows nothing of `recorded_at`."""
    shop = SqlUnitOfWork(postgres_engine)
    await keep(shop, products=[a_product()], orders=[an_order(number=1)])
    async with postgres_engine.begin() as connection:
        names = ", ".join(column.name for column in orders.c if column.name not in {"id", "recorded_at"})
        await connection.execute(
            text(f"INSERT INTO orders (id, {names}) SELECT gen_random_uuid(), {names} FROM orders")  # noqa: S608 - ours
        )
    now, *_ = await note(shop)
    async with shop.reading() as tx:
        assert len(await tx.orders.unpaid_since(now.until, after=None, limit=10)) == 2
        assert await tx.orders.unpaid_since(now.until - timedelta(minutes=1), after=None, limit=10) == []
