"""A connection whose opening is cancelled is closed, however far the opening has got."""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Generator
from itertools import count
from secrets import token_hex
from types import coroutine
from typing import Any

import pytest
from sqlalchemy import literal, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.core.connecting import connected
from adapters.sql.core.transaction import one_transaction
from tests.contract.test_unit_of_work_faults import borrowed
from tests.engines import engine_on
from tests.service import until

ASK = select(literal(1).label("one"))


async def over_a_connection(engine: AsyncEngine) -> None:
    async with connected(engine) as connection:
        await connection.execute(ASK)


async def in_a_transaction(engine: AsyncEngine) -> None:
    async with one_transaction(engine, writing=True) as block:
        await block.fetch(ASK)


@coroutine
def cancelled(work: Coroutine[Any, Any, None], moment: int, *, answered: bool) -> Generator[Any, Any, bool]:
    """Do the work as a task does, but cancel it when it waits for the nth time. Return whether it ended before.

    What it waits for is cancelled, too, or, where it is `answered`, comes and is lost.
    """
    go_on: Callable[[Any], Any] = work.send
    given: Any = None
    for waits in count():
        try:
            awaited = go_on(given)
        except StopIteration:
            return True
        except asyncio.CancelledError:
            return False
        if waits == moment and not answered and awaited is not None:
            awaited.cancel()
        try:
            given, go_on = (yield awaited), work.send
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it is for the work
            given, go_on = error, work.throw
        if waits == moment:
            given, go_on = asyncio.CancelledError(), work.throw
    raise AssertionError


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("work", [over_a_connection, in_a_transaction])
async def test_opening_a_connection_may_be_cancelled_at_any_moment(
    migrated_postgres: str,
    postgres_engine: AsyncEngine,
    work: Callable[[AsyncEngine], Coroutine[Any, Any, None]],
    answered: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    mine = f"cancelled-{token_hex(4)}"
    open_ones = text("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE :name").bindparams(
        name=f"{mine}/%"
    )

    async def none_is_open() -> bool:
        async with postgres_engine.connect() as connection:
            return not (await connection.execute(open_ones)).scalar_one()

    for moment in count():
        # The first connection of an engine has the longest way: it also asks what the server can.
        async with engine_on(f"{migrated_postgres}?application_name={mine}") as engine:
            ended = await cancelled(work(engine), moment, answered=answered)
            assert borrowed(engine) == 0
        if ended:
            break
    assert moment > 10
    # With the engines those have closed that were in their pools. What nobody knows of any more is warned of here.
    gc.collect()
    await until(none_is_open, seconds=30, what="what was cancelled is closed")


@pytest.mark.parametrize("answered", [False, True])
async def test_a_transaction_may_be_cancelled_at_any_moment_and_nothing_is_said_of_it(
    sql_engine: AsyncEngine,
    caplog: pytest.LogCaptureFixture,
    answered: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """As when a program that is still at work finds that it can't start."""
    async with engine_on(sql_engine.url.render_as_string(hide_password=False)) as engine:
        for moment in count():
            # The connection is open: what is cancelled is the transaction.
            await in_a_transaction(engine)
            if await cancelled(in_a_transaction(engine), moment, answered=answered):
                break
            assert borrowed(engine) == 0
    assert moment > 2
    assert [record.message for record in caplog.records if record.name.startswith("sqlalchemy")] == []
