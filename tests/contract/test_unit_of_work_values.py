"""Values that a database can't take: the fault of whoever sent them, and no sign of a lost server."""

from collections.abc import Callable

import pytest
from attrs import evolve
from sqlalchemy import event
from sqlalchemy.exc import DataError
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.unit_of_work import SqlUnitOfWork
from application.errors import Aborted, Trouble
from tests.contract.conftest import keep
from tests.contract.test_unit_of_work_faults import PEN
from tests.unit.builders import a_product

TOO_LARGE = 2**70
NO_TEXT = "a pen \ud800"


@pytest.fixture
def connects(sql_engine: AsyncEngine) -> Callable[[], int]:
    """How many connections were opened."""
    opened: list[object] = []
    event.listen(sql_engine.sync_engine, "connect", lambda *_: opened.append(None))
    return lambda: len(opened)


async def test_a_parameter_out_of_range_costs_no_connection(
    sql_engine: AsyncEngine, connects: Callable[[], int]
) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    await keep(unit_of_work, products=[a_product()])
    before = connects()
    for begin in (unit_of_work, unit_of_work.reading):
        with pytest.raises(DataError):
            async with begin() as tx:
                await tx.products.page(after=None, limit=TOO_LARGE)
    async with unit_of_work.reading() as tx:
        assert await tx.products.last_id() == PEN
    assert connects() == before


async def test_a_row_that_cannot_be_sent_costs_no_connection_and_is_no_trouble(
    sql_engine: AsyncEngine, connects: Callable[[], int]
) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    await keep(unit_of_work, products=[a_product()])
    before = connects()
    with pytest.raises((DataError, UnicodeEncodeError)) as caught:
        await keep(unit_of_work, products=[evolve(a_product(2), name=NO_TEXT)])
    assert not isinstance(caught.value, Trouble)
    async with unit_of_work.reading() as tx:
        assert await tx.products.last_id() == PEN
    assert connects() == before


async def test_nothing_is_committed_beside_a_value_that_could_not_be_sent(sql_engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)

    async def go_on_regardless() -> None:
        async with unit_of_work() as tx:
            await tx.products.add_many([a_product()])
            with pytest.raises(DataError):
                await tx.products.page(after=None, limit=TOO_LARGE)

    with pytest.raises(Aborted, match="can't commit"):
        await go_on_regardless()
    async with unit_of_work.reading() as tx:
        assert await tx.products.last_id() == 0
