"""Claims don't walk over what has left the outbox, and none passes over what is committed late."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import pytest
from attrs import evolve
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from adapters.codecs.webhook_messages import SignedMessages
from adapters.memory.webhooks import MemoryWebhookTransport
from adapters.sql.stuck_orders import StuckOrders
from adapters.sql.tables.events import outbox_mark
from adapters.sql.tables.feed import feed_queue_mark
from adapters.sql.tables.shop import leases
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.jobs.run_jobs import RunJobs
from application.messaging.republish import RepublishRequests
from application.orders.expire_orders import ExpireOrders
from application.ports.outbox import LEASE_SECONDS, OutboxEntry
from application.webhooks.finish import FinishRounds
from application.webhooks.rounds import Ended, Round
from application.webhooks.send import SendWebhooks
from domain.ids import EndpointId, OrderId
from domain.orders.events import Event, OrderCancelled
from domain.webhooks.progress import begun_after
from tests.contract.test_query_plans import recording
from tests.contract.test_unit_of_work_webhooks import an_endpoint
from tests.unit.builders import LATER, NOW

# Entries that came and went: a claim that walks over them reads hundreds of pages.
_GONE = 12_000
_FEW_PAGES = 60


def cancelled(number: int) -> Event:
    return OrderCancelled(order_id=OrderId(UUID(int=number)), sequence=1, at=LATER)


async def step(engine: AsyncEngine, sent: list[OutboxEntry]) -> list[OutboxEntry]:
    """A step of the relay, in which the mark may be raised: that is done with each renewal of the lease."""
    async with engine.begin() as connection:
        await connection.execute(update(leases).values(until=text(f"until - interval '{LEASE_SECONDS - 2} s'")))
    async with SqlUnitOfWork(engine)() as tx:
        await tx.outbox.remove(sent)
        return await tx.outbox.claim(by="relay 1", limit=512)


async def pass_through(engine: AsyncEngine, count: int) -> None:
    """Bring entries into the outbox and out of it, as a relay does."""
    async with SqlUnitOfWork(engine)() as tx:
        await tx.events.add_many([cancelled(number) for number in range(1, count + 1)])
    sent: list[OutboxEntry] = []
    while entries := await step(engine, sent):
        sent = entries
    await step(engine, sent)
    await step(engine, [])


@asynccontextmanager
async def holding_back_vacuum(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        # The sessions of the service are ended when they are idle for seconds; that of a stranger is not.
        await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        await connection.execute(text("SELECT count(*) FROM products"))
        yield connection


async def pages_read(engine: AsyncEngine, look: Callable[[AsyncEngine], Awaitable[object]] | None = None) -> int:
    """How many pages the statements of a claim, or of this look, read, of tables and indexes, however often."""
    with recording(engine) as recorded:
        await (look or claiming)(engine)
    pages = 0
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        for statement, arguments in recorded:
            if not statement.startswith(("SELECT", "WITH")):
                continue
            [[plan]] = await driver.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *arguments)
            pages += plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]
    return pages


async def test_a_claim_does_not_walk_over_what_has_left_while_a_session_holds_back_vacuum(
    postgres_engine: AsyncEngine,
) -> None:
    async with holding_back_vacuum(postgres_engine):
        await pass_through(postgres_engine, _GONE)
        assert await pages_read(postgres_engine) < _FEW_PAGES
        # It would be no test if there were nothing to walk over.
        async with postgres_engine.begin() as connection:
            await connection.execute(outbox_mark.delete())
        assert await pages_read(postgres_engine) > 4 * _FEW_PAGES


async def test_positions_are_given_without_a_walk_over_what_has_left_the_queue(postgres_engine: AsyncEngine) -> None:
    async with holding_back_vacuum(postgres_engine):
        # As if as many statements had written events. Each was a row of the queue.
        for statement in (
            f"INSERT INTO feed_queue (events) SELECT '[]' FROM generate_series(1, {2 * _GONE})",  # noqa: S608 - a number
            "DELETE FROM feed_queue",
        ):
            async with postgres_engine.begin() as connection:
                await connection.execute(text(statement))
        for number in (1, 2):
            async with SqlUnitOfWork(postgres_engine)() as tx:
                await tx.events.add_many([cancelled(number)])
            assert await feed_step(postgres_engine) == 1
        await feed_step(postgres_engine)
        assert await pages_read(postgres_engine, giving) < _FEW_PAGES
        # As above.
        async with postgres_engine.begin() as connection:
            await connection.execute(feed_queue_mark.delete())
        assert await pages_read(postgres_engine, giving) > 2 * _FEW_PAGES


# An hour in which the shop was open, with orders and jobs that were done in it.
_PAST: Final = (
    "INSERT INTO open_periods (since, until) SELECT now() - interval '1 h', now()",
    f"""
    INSERT INTO orders (id, user_id, status, total, currency, holds_stock, refund_requested, deleted, version,
        created_at, updated_at, recorded_at)
    SELECT gen_random_uuid(), 1, 'PENDING', 1, 'EUR', false, false, false, 0, at, at, at
    FROM (SELECT now() - interval '50 min' + i * interval '1 ms' AS at FROM generate_series(1, {_GONE}) AS i)
        AS recorded
    """,  # noqa: S608 - a number
    "UPDATE orders SET status = 'PROCESSING', version = 1",
    "UPDATE orders SET status = 'PAID', version = 2",
    """
    INSERT INTO jobs (id, kind, arguments, status, attempts, failures, done, available_at, created_at)
    SELECT id, 'message', '{}', 'AVAILABLE', 0, 0, 0, created_at, created_at FROM orders
    """,
    "UPDATE jobs SET status = 'EXECUTING', leased_until = available_at + interval '30 s'",
    "UPDATE jobs SET status = 'COMPLETED', leased_until = NULL, finished_at = created_at",
    "ANALYZE orders, jobs",
)

_Look = Callable[[], Awaitable[object]]


def expiring(engine: AsyncEngine) -> _Look:
    look_every = timedelta(seconds=30)
    return ExpireOrders(SqlUnitOfWork(engine), lambda: LATER, timedelta(minutes=30), look_every=look_every)


def republishing(engine: AsyncEngine) -> _Look:
    return partial(RepublishRequests(SqlUnitOfWork(engine), lambda: datetime.now(UTC)), idle=timedelta(minutes=10))


def counting_stuck_orders(engine: AsyncEngine) -> _Look:
    return partial(StuckOrders(engine).count, after=timedelta(minutes=10))


def running_jobs(engine: AsyncEngine) -> _Look:
    return RunJobs(SqlUnitOfWork(engine), {})


@pytest.mark.parametrize("begin", [expiring, republishing, counting_stuck_orders, running_jobs])
async def test_a_repeated_look_does_not_walk_over_what_is_done(
    postgres_engine: AsyncEngine, begin: Callable[[AsyncEngine], _Look]
) -> None:
    async with holding_back_vacuum(postgres_engine):
        for statement in _PAST:
            async with postgres_engine.begin() as connection:
                await connection.execute(text(statement))
        look = begin(postgres_engine)
        await look()
        assert await pages_read(postgres_engine, lambda _: look()) < _FEW_PAGES
        # As above: a process that has just started looks at all of them.
        assert await pages_read(postgres_engine, lambda engine: begin(engine)()) > 2 * _FEW_PAGES


# Deliveries that failed at first, and arrived later; and some that are due now, of orders that are gone.
_ENDPOINT: Final = UUID(int=1)
_DELIVERIES: Final = (
    f"""
    INSERT INTO webhook_deliveries (endpoint_id, position, order_id, sequence, type, at, status, tries, attempts,
        outcome, next_at, log)
    SELECT '{_ENDPOINT}', i, gen_random_uuid(), 1, 'order.paid', now(), 'RETRYING', 1, 1,
        'status 500', now() - interval '5 s' + i * interval '1 us', '' FROM generate_series(1, {4 * _GONE + 500}) AS i
    """,  # noqa: S608 - numbers
    f"UPDATE webhook_deliveries SET status = 'DELIVERED', next_at = NULL, finished_at = now() WHERE position <= {4 * _GONE}",  # noqa: S608, E501 - as above
    "ANALYZE webhook_deliveries",
)


async def test_deliveries_are_claimed_without_a_walk_over_those_that_have_arrived(postgres_engine: AsyncEngine) -> None:
    """Also if all of them were due at nearly the same time, as after a recovery of what was missed for days."""
    unit_of_work = SqlUnitOfWork(postgres_engine)
    endpoint = an_endpoint(id=EndpointId(_ENDPOINT))
    async with unit_of_work() as tx:
        await tx.webhook_endpoints.add_many([endpoint])
        await tx.webhook_progress.add_many([evolve(begun_after(endpoint.id, 0), due_at=NOW, is_troubled=True)])
    finish = FinishRounds(unit_of_work)

    async def finish_one(ended: Round) -> Ended:
        return (await finish([ended]))[0]

    def sender(name: str) -> SendWebhooks:
        transport, messages = MemoryWebhookTransport(), SignedMessages()
        return SendWebhooks(unit_of_work, transport, messages, lambda: NOW, lambda: 0.0, name, finish_one)

    async def round_of(sending: SendWebhooks) -> None:
        await sending()
        async with asyncio.timeout(60):
            while not sending.is_idle:
                await sending.wait()

    async with holding_back_vacuum(postgres_engine):
        for statement in _DELIVERIES:
            async with postgres_engine.begin() as connection:
                await connection.execute(text(statement))
        first = sender("relay 1")
        await round_of(first)
        # What a round of 32 reads of its deliveries and their orders.
        assert await pages_read(postgres_engine, lambda _: round_of(first)) < 10 * _FEW_PAGES
        # As above: a process that has just started looks at all of them.
        another = sender("relay 2")
        assert await pages_read(postgres_engine, lambda _: round_of(another)) > 30 * _FEW_PAGES


async def test_an_event_that_is_committed_late_gets_its_position_however_often_others_passed_it(
    postgres_engine: AsyncEngine,
) -> None:
    async with SqlUnitOfWork(postgres_engine)() as late:
        await late.events.add_many([cancelled(100_000)])
        for number in range(1, 6):
            async with SqlUnitOfWork(postgres_engine)() as tx:
                await tx.events.add_many([cancelled(number)])
            assert await feed_step(postgres_engine) == 1
    assert await feed_step(postgres_engine) == 1
    assert await feed_step(postgres_engine) == 0


async def feed_step(engine: AsyncEngine) -> int:
    """As `step`, for the queue of the feed."""
    async with engine.begin() as connection:
        await connection.execute(update(leases).values(until=text(f"until - interval '{LEASE_SECONDS - 2} s'")))
    return await giving(engine)


async def giving(engine: AsyncEngine) -> int:
    async with SqlUnitOfWork(engine)() as tx:
        return await tx.feed.give_positions(by="relay 1", limit=512)


async def claiming(engine: AsyncEngine) -> None:
    async with SqlUnitOfWork(engine)() as tx:
        await tx.outbox.claim(by="relay 1", limit=512)


async def test_the_mark_is_kept_when_the_relay_stops(postgres_engine: AsyncEngine) -> None:
    async with holding_back_vacuum(postgres_engine):
        await pass_through(postgres_engine, _GONE)
        async with SqlUnitOfWork(postgres_engine)() as tx:
            await tx.outbox.release(by="relay 1")
        assert await pages_read(postgres_engine) < _FEW_PAGES


async def test_an_entry_that_is_committed_late_is_claimed_however_often_others_passed_it(
    postgres_engine: AsyncEngine,
) -> None:
    async with SqlUnitOfWork(postgres_engine)() as late:
        await late.events.add_many([cancelled(100_000)])
        await pass_through(postgres_engine, 10)
        await pass_through_more(postgres_engine)
    assert [entry.id.order_id.int for entry in await step(postgres_engine, [])] == [100_000]


async def pass_through_more(engine: AsyncEngine) -> None:
    for number in range(200, 205):
        async with SqlUnitOfWork(engine)() as tx:
            await tx.events.add_many([cancelled(number)])
        await step(engine, await step(engine, []))


async def test_an_entry_that_the_broker_does_not_confirm_is_claimed_again_and_again(
    postgres_engine: AsyncEngine,
) -> None:
    async with SqlUnitOfWork(postgres_engine)() as tx:
        await tx.events.add_many([cancelled(100_000)])
    sent: list[OutboxEntry] = []
    for number in range(1, 10):
        async with SqlUnitOfWork(postgres_engine)() as tx:
            await tx.events.add_many([cancelled(number)])
        stuck, *sent = await step(postgres_engine, sent)
        assert stuck.id.order_id.int == 100_000


async def test_what_comes_after_positions_began_anew_is_claimed(postgres_engine: AsyncEngine) -> None:
    """As in a copy of the tables that was made by logical replication, which does not copy sequences."""
    await pass_through(postgres_engine, 10)
    assert await mark(postgres_engine) > 1
    async with postgres_engine.begin() as connection:
        await connection.execute(text("ALTER SEQUENCE outbox_position_seq RESTART"))
    async with SqlUnitOfWork(postgres_engine)() as tx:
        await tx.events.add_many([cancelled(100_000)])

    found = await step(postgres_engine, []) or await step(postgres_engine, [])

    assert [entry.id.order_id.int for entry in found] == [100_000]
    await step(postgres_engine, found)
    await pass_through_more(postgres_engine)
    assert 0 < await mark(postgres_engine) <= 7


async def test_the_mark_rises_past_a_writer_that_gave_up(postgres_engine: AsyncEngine) -> None:
    async def give_up_late() -> None:
        async with SqlUnitOfWork(postgres_engine)() as tx:
            await tx.events.add_many([cancelled(100_000)])
            await pass_through(postgres_engine, 10)
            raise LookupError

    with pytest.raises(LookupError):
        await give_up_late()
    before = await mark(postgres_engine)
    await step(postgres_engine, [])
    assert await mark(postgres_engine) > before


async def test_no_entry_is_missed_whatever_is_committed_when(postgres_engine: AsyncEngine) -> None:
    """Writers whose commits overtake each other, beside a relay that raises the mark with each step."""
    chance, writers, rounds = random.Random(7), 4, 15
    claimed: set[int] = set()
    numbers = iter(range(1, 10_000))

    async def write() -> None:
        for _ in range(rounds):
            async with SqlUnitOfWork(postgres_engine)() as tx:
                for _ in range(chance.choice((1, 1, 3))):
                    await tx.events.add_many([cancelled(next(numbers))])
                    await asyncio.sleep(chance.choice((0, 0.01, 0.1)))

    async def relay() -> None:
        sent: list[OutboxEntry] = []
        while True:
            sent = await step(postgres_engine, sent)
            claimed.update(entry.id.order_id.int for entry in sent)

    async with asyncio.timeout(120):
        relaying = asyncio.create_task(relay())
        await asyncio.gather(*(write() for _ in range(writers)))
        written = next(numbers) - 1
        while len(claimed) < written and not relaying.done():
            marked = await mark(postgres_engine)
            async with SqlUnitOfWork(postgres_engine).reading() as tx:
                left = await tx.outbox.page(after=None, limit=512)
            assert [entry.position for entry in left if entry.position < marked] == []
        relaying.cancel()
        await asyncio.gather(relaying, return_exceptions=True)
    assert claimed == set(range(1, written + 1))
    assert await mark(postgres_engine) > 0


async def mark(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        position: int | None = (await connection.execute(select(outbox_mark.c.position))).scalar()
    return position or 0
