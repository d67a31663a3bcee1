"""Sessions of the console that were ended: one suite for memory, SQLite and PostgreSQL."""

import asyncio
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.unit_of_work import SqlUnitOfWork
from application.ports.persistence import UnitOfWork
from application.ports.sessions import Session
from tests.contract.test_query_plans import recording
from tests.unit.builders import NOW

MINUTE = timedelta(minutes=1)
ONE, OTHER, OPEN = (Session(letter * 64, NOW + number * MINUTE) for number, letter in enumerate("abc"))


async def end(unit_of_work: UnitOfWork, *sessions: Session) -> None:
    async with unit_of_work() as tx:
        await tx.ended_sessions.add_many(sessions)


async def ended(unit_of_work: UnitOfWork, *ids: str) -> set[str]:
    async with unit_of_work.reading() as tx:
        return await tx.ended_sessions.among(ids)


async def test_those_that_were_ended_are_found(unit_of_work: UnitOfWork) -> None:
    assert await ended(unit_of_work, ONE.id) == set()
    await end(unit_of_work, ONE, OTHER)
    await end(unit_of_work)
    assert await ended(unit_of_work, ONE.id, OPEN.id, OTHER.id) == {ONE.id, OTHER.id}
    assert await ended(unit_of_work) == set()


async def test_a_transaction_sees_what_it_has_ended_itself(unit_of_work: UnitOfWork) -> None:
    async with unit_of_work() as tx:
        await tx.ended_sessions.add_many([ONE])
        assert await tx.ended_sessions.among([ONE.id]) == {ONE.id}
        assert await tx.ended_sessions.remove(OPEN.until, limit=9) == 1
        assert await tx.ended_sessions.among([ONE.id]) == set()
    assert await ended(unit_of_work, ONE.id) == set()


async def test_one_that_is_ended_again_stays_as_it_is(unit_of_work: UnitOfWork) -> None:
    await end(unit_of_work, OTHER)
    await end(unit_of_work, Session(OTHER.id, NOW - MINUTE))
    async with unit_of_work() as tx:
        assert await tx.ended_sessions.remove(OTHER.until, limit=9) == 0
    assert await ended(unit_of_work, OTHER.id) == {OTHER.id}


async def test_those_whose_time_is_over_are_removed_some_at_a_time(unit_of_work: UnitOfWork) -> None:
    await end(unit_of_work, OPEN, OTHER, ONE)
    for removed, left in ((1, {OTHER.id, OPEN.id}), (1, {OPEN.id}), (0, {OPEN.id})):
        async with unit_of_work() as tx:
            assert await tx.ended_sessions.remove(OPEN.until, limit=1) == removed
        assert len(await ended(unit_of_work, ONE.id, OTHER.id, OPEN.id)) == len(left)
    assert await ended(unit_of_work, ONE.id, OTHER.id, OPEN.id) == {OPEN.id}


async def test_many_may_end_and_remove_the_same_ones_at_once(unit_of_work: UnitOfWork) -> None:
    async def remove() -> None:
        async with unit_of_work() as tx:
            await tx.ended_sessions.remove(OPEN.until, limit=9)

    async with asyncio.timeout(60):
        await asyncio.gather(
            *(end(unit_of_work, *each) for each in 5 * [(ONE, OTHER, OPEN), (OPEN, OTHER, ONE)]),
            *(remove() for _ in range(5)),
        )
    await end(unit_of_work, ONE, OTHER, OPEN)
    assert await ended(unit_of_work, ONE.id, OTHER.id, OPEN.id) == {ONE.id, OTHER.id, OPEN.id}


async def test_many_are_ended_by_one_statement(sql_engine: AsyncEngine) -> None:
    many = [Session(f"{number:064}", NOW) for number in reversed(range(50))]
    with recording(sql_engine) as sent:
        await end(SqlUnitOfWork(sql_engine), *many, many[0])
    assert [statement.partition(" ")[0] for statement, _ in sent if "ended_sessions" in statement] == ["INSERT"]
    assert await ended(SqlUnitOfWork(sql_engine), *(session.id for session in many)) == {each.id for each in many}
