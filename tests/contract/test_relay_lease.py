"""The lease of the relay: one at a time has the claim, whatever the clock of the database does."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from attrs import frozen
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.memory.store import MemoryStore
from adapters.memory.unit_of_work import MemoryUnitOfWork
from adapters.sql.tables.shop import leases
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.ports.outbox import LEASE_SECONDS, OutboxEntry
from application.ports.persistence import UnitOfWork
from tests.unit.builders import a_line, placed

# Seconds by which a clock is set back, from less than a lease to more than any outage.
_BACK = [1, 120, 86_400, 366 * 86_400]
_RENEWED_AFTER = 1


@frozen
class Database:
    unit_of_work: UnitOfWork
    # Set the clock of the database forward, or back if negative, by so many seconds.
    step_clock: Callable[[float], Awaitable[None]]

    async def claim(self, by: str) -> list[OutboxEntry]:
        async with self.unit_of_work() as tx:
            return await tx.outbox.claim(by=by, limit=100)

    async def renew(self, by: str) -> bool:
        async with self.unit_of_work() as tx:
            return await tx.outbox.renew(by=by)

    async def release(self, by: str) -> None:
        async with self.unit_of_work() as tx:
            await tx.outbox.release(by=by)


def _in_memory() -> Database:
    ahead = timedelta(0)

    async def step(seconds: float) -> None:
        nonlocal ahead
        ahead += timedelta(seconds=seconds)

    return Database(MemoryUnitOfWork(MemoryStore(now=lambda: datetime.now(UTC) + ahead)), step)


def _on(engine: AsyncEngine) -> Database:
    async def step(seconds: float) -> None:
        # No test can set a server's clock, so the lease moves the other way.
        async with engine.begin() as connection:
            for name, until in (await connection.execute(select(leases.c.name, leases.c.until))).all():
                moved = until - timedelta(seconds=seconds)
                await connection.execute(update(leases).where(leases.c.name == name).values(until=moved))

    return Database(SqlUnitOfWork(engine), step)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def empty_database(request: pytest.FixtureRequest) -> Database:
    return _in_memory() if request.param == "memory" else _on(request.getfixturevalue(f"{request.param}_engine"))


@pytest.fixture
async def database(empty_database: Database) -> Database:
    async with empty_database.unit_of_work() as tx:
        await tx.events.add_many([placed(a_line(), number=number)[1] for number in (1, 2, 3)])
    return empty_database


async def test_one_relay_at_a_time_has_the_claim(database: Database) -> None:
    assert len(await database.claim("relay 1")) == 3
    assert await database.claim("relay 2") == []
    assert len(await database.claim("relay 1")) == 3


async def test_a_lease_that_has_ended_is_renewed_unless_another_relay_has_taken_it(database: Database) -> None:
    assert not await database.renew("relay 1")
    await database.claim("relay 1")
    assert not await database.renew("relay 2")
    await database.step_clock(LEASE_SECONDS + 1)
    assert await database.renew("relay 1")
    assert await database.claim("relay 2") == []
    await database.step_clock(LEASE_SECONDS + 1)
    assert len(await database.claim("relay 2")) == 3
    assert not await database.renew("relay 1")
    await database.release("relay 2")
    assert not await database.renew("relay 1")
    assert not await database.renew("relay 2")


async def test_of_relays_that_claim_at_once_one_gets_all(database: Database) -> None:
    async with asyncio.timeout(60):
        claims = await asyncio.gather(*(database.claim(f"relay {number}") for number in range(4)))
    assert sorted(len(entries) for entries in claims) == [0, 0, 0, 3]


async def test_the_claim_of_a_relay_that_is_gone_ends_by_itself(database: Database) -> None:
    await database.claim("relay 1")
    await database.step_clock(LEASE_SECONDS)
    assert len(await database.claim("relay 2")) == 3
    assert await database.claim("relay 1") == []


@pytest.mark.parametrize("back", _BACK)
async def test_a_claim_that_ends_later_than_a_claim_can_is_void(database: Database, back: float) -> None:
    """The server's clock was set back, and the relay died: the next one must not wait until the old time is reached."""
    await database.claim("relay 1")
    await database.step_clock(-back - LEASE_SECONDS)
    assert len(await database.claim("relay 2")) == 3
    assert await database.claim("relay 1") == []


@pytest.mark.parametrize("back", _BACK)
async def test_a_relay_that_lives_through_a_step_back_has_an_ordinary_claim_again(
    database: Database, back: float
) -> None:
    await database.claim("relay 1")
    await database.step_clock(-back - LEASE_SECONDS)
    assert len(await database.claim("relay 1")) == 3
    await database.step_clock(LEASE_SECONDS)
    assert len(await database.claim("relay 2")) == 3


@pytest.mark.parametrize("forward", _BACK)
async def test_a_relay_that_goes_on_claiming_keeps_its_claim(database: Database, forward: float) -> None:
    await database.claim("relay 1")
    await database.step_clock(forward)
    assert len(await database.claim("relay 1")) == 3
    assert await database.claim("relay 2") == []


async def test_a_claim_that_is_released_is_free_at_once_and_nobody_elses_can_be(database: Database) -> None:
    await database.claim("relay 1")
    await database.release("relay 2")
    assert await database.claim("relay 2") == []
    await database.release("relay 1")
    assert len(await database.claim("relay 2")) == 3


async def test_a_look_that_finds_nothing_writes_nothing_while_the_claim_lasts(sql_engine: AsyncEngine) -> None:
    """A relay that waits for events would otherwise wait for the disk as well, with each look."""
    database = _on(sql_engine)
    await database.claim("relay 1")
    before, asked = await _row(sql_engine)
    await database.claim("relay 1")
    after, answered = await _row(sql_engine)
    # On a machine that took a second for this, the claim was renewed in between.
    assert after == before or (answered - asked).total_seconds() >= _RENEWED_AFTER


async def test_a_claim_that_has_lasted_for_a_while_is_renewed(sql_engine: AsyncEngine) -> None:
    database = _on(sql_engine)
    await database.claim("relay 1")
    await database.step_clock(2 * _RENEWED_AFTER)
    before, _ = await _row(sql_engine)
    await database.claim("relay 1")
    after, _ = await _row(sql_engine)
    assert after > before


async def _row(engine: AsyncEngine) -> tuple[datetime, datetime]:
    """The end of the lease, and the time by the clock of the database."""
    now = "clock_timestamp()" if engine.dialect.name == "postgresql" else "strftime('%Y-%m-%d %H:%M:%f', 'now')"
    async with engine.connect() as connection:
        until, asked = (await connection.execute(select(leases.c.until, text(now)))).one()
    return until, datetime.fromisoformat(asked) if isinstance(asked, str) else asked
