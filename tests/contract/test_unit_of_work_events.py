"""Events, and the outbox that they leave through."""

import asyncio
from uuid import UUID

import pytest
from attrs import evolve
from uuid_utils.compat import uuid7

from adapters.codecs.events import decode, traceparent_in
from application.execution.working_for import TracedId, traceparent_of
from application.ports.audit import AuditEntry, Caller
from application.ports.outbox import OutboxEntry
from application.ports.persistence import OrderConflict, UnitOfWork
from domain.ids import JobId, OrderId
from domain.jobs.job import new_job
from domain.orders.events import Event, EventId, OrderCancelled, OrderChangeAccepted, event_id
from tests.unit.builders import LATER, NOW, a_line, placed


def cancelled(number: int, sequence: int) -> Event:
    return OrderCancelled(order_id=OrderId(UUID(int=number)), sequence=sequence, at=LATER)


def seen(*numbers: int) -> set[EventId]:
    return {EventId(OrderId(UUID(int=number)), 1) for number in numbers}


async def add(unit_of_work: UnitOfWork, *events: Event) -> None:
    async with unit_of_work() as tx:
        await tx.events.add_many(events)


async def claim(unit_of_work: UnitOfWork, limit: int = 100) -> list[OutboxEntry]:
    async with unit_of_work() as tx:
        return await tx.outbox.claim(by="relay 1", limit=limit)


async def remove(unit_of_work: UnitOfWork, *entries: OutboxEntry) -> None:
    async with unit_of_work() as tx:
        await tx.outbox.remove(entries)


async def test_the_history_of_orders_is_in_order(unit_of_work: UnitOfWork) -> None:
    _, first = placed(a_line(), number=1)
    _, other = placed(a_line(quantity=3), a_line(2), number=2)
    await add(unit_of_work, cancelled(2, 3), other, cancelled(1, 2), first, cancelled(3, 1))
    async with unit_of_work.reading() as tx:
        events = await tx.events.of_orders([other.order_id, first.order_id])
    assert events == [first, cancelled(1, 2), other, cancelled(2, 3)]


async def test_an_event_of_a_traced_request_keeps_its_place_in_the_trace(unit_of_work: UnitOfWork) -> None:
    """The id is a kind of text that no driver of a database is made for."""
    place = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    id_ = TracedId.of("request-1", place)
    _, first = placed(a_line(), number=1)
    event, caller = evolve(first, request_id=id_), Caller("key", id_)
    async with unit_of_work() as tx:
        await tx.events.add_many([event])
        await tx.audit.add_many([AuditEntry(at=NOW, by=caller, action="order.placed", subject="order 1")])
        await tx.jobs.add_many([new_job(id=JobId(uuid7()), kind="x", arguments={"by": id_}, order_id=None, now=NOW)])
    async with unit_of_work.reading() as tx:
        [kept] = await tx.events.of_orders([event.order_id])
        assert [
            entry.by for entry in await tx.audit.page(subject=None, request_id=None, action=None, before=None, limit=9)
        ] == [caller]
    assert (kept, traceparent_of(kept.request_id)) == (event, place)
    [entry] = await claim(unit_of_work)
    assert traceparent_in(entry.body) == place


async def test_no_two_events_of_an_order_have_the_same_number(unit_of_work: UnitOfWork) -> None:
    await add(unit_of_work, cancelled(1, 2))
    with pytest.raises(OrderConflict):
        await add(unit_of_work, cancelled(2, 1), cancelled(1, 2))
    async with unit_of_work.reading() as tx:
        assert await tx.events.of_orders([OrderId(UUID(int=2))]) == []


async def test_events_leave_in_the_order_in_which_they_were_added(unit_of_work: UnitOfWork) -> None:
    events = [cancelled(order, sequence) for sequence in (1, 2) for order in (3, 1, 2)]
    await add(unit_of_work, *events[:4])
    await add(unit_of_work, *events[4:])
    entries = await claim(unit_of_work)
    assert [decode(entry.body) for entry in entries] == events
    assert [(entry.id, entry.type) for entry in entries] == [(event_id(event), event.type) for event in events]
    assert [entry.position for entry in entries] == sorted({entry.position for entry in entries})


async def test_a_claim_takes_the_oldest(unit_of_work: UnitOfWork) -> None:
    await add(unit_of_work, *(cancelled(number, 1) for number in range(1, 6)))
    assert [entry.id.order_id.int for entry in await claim(unit_of_work, limit=2)] == [1, 2]


async def test_what_is_not_removed_is_claimed_again_and_what_is_removed_is_gone(unit_of_work: UnitOfWork) -> None:
    await add(unit_of_work, *(cancelled(number, 1) for number in (1, 2, 3)))
    entries = await claim(unit_of_work)
    await remove(unit_of_work, entries[1])
    assert await claim(unit_of_work) == [entries[0], entries[2]]
    await remove(unit_of_work, *entries)
    assert await claim(unit_of_work) == []


async def test_what_a_transaction_removes_it_claims_no_more(unit_of_work: UnitOfWork) -> None:
    await add(unit_of_work, *(cancelled(number, 1) for number in (1, 2, 3)))
    first, *others = await claim(unit_of_work)
    async with unit_of_work() as tx:
        await tx.outbox.remove([first])
        assert await tx.outbox.claim(by="relay 1", limit=100) == others


async def test_a_position_is_never_used_again(unit_of_work: UnitOfWork) -> None:
    """A relay that comes too late removes what it sent, and nothing that took its place."""
    await add(unit_of_work, cancelled(1, 1))
    sent = await claim(unit_of_work)
    await remove(unit_of_work, *sent)
    await add(unit_of_work, cancelled(2, 1))
    await remove(unit_of_work, *sent)
    assert [entry.id.order_id.int for entry in await claim(unit_of_work)] == [2]


async def test_events_of_a_block_that_raised_never_leave(unit_of_work: UnitOfWork) -> None:
    async def fail_after_adding() -> None:
        async with unit_of_work() as tx:
            await tx.events.add_many([cancelled(1, 1)])
            raise LookupError("the shop is on fire")

    with pytest.raises(LookupError, match="on fire"):
        await fail_after_adding()
    assert await claim(unit_of_work) == []


async def test_what_is_put_back_leaves_once_more_and_the_history_stays_as_it_is(unit_of_work: UnitOfWork) -> None:
    _, event = placed(a_line())
    await add(unit_of_work, event)
    await remove(unit_of_work, *await claim(unit_of_work))
    async with unit_of_work() as tx:
        await tx.outbox.re_enqueue([event])
    assert [decode(entry.body) for entry in await claim(unit_of_work)] == [event]
    async with unit_of_work.reading() as tx:
        assert await tx.events.of_orders([event.order_id]) == [event]


async def test_what_is_put_back_while_it_is_still_there_leaves_once(unit_of_work: UnitOfWork) -> None:
    _, event = placed(a_line())
    await add(unit_of_work, event)
    for _ in range(2):
        async with unit_of_work() as tx:
            await tx.outbox.re_enqueue([event])
    assert [decode(entry.body) for entry in await claim(unit_of_work)] == [event]


async def test_all_that_was_accepted_of_an_order_is_put_back(unit_of_work: UnitOfWork) -> None:
    """It is in no history: nothing tells the events apart but what they say."""
    accepted = [
        OrderChangeAccepted(
            order_id=OrderId(UUID(int=1)), at=NOW, job_id=JobId(UUID(int=number)), asked="{}", signature="5ec7e7"
        )
        for number in range(3)
    ]
    for events in (accepted[:1], accepted[:2], accepted):
        async with unit_of_work() as tx:
            await tx.outbox.re_enqueue(events)
    assert [decode(entry.body) for entry in await claim(unit_of_work)] == accepted
    entries = await claim(unit_of_work)
    async with unit_of_work() as tx:
        await tx.waiting_work.put_off(entries)
        await tx.outbox.remove(entries)
    async with unit_of_work() as tx:
        await tx.outbox.re_enqueue(accepted)
    assert await claim(unit_of_work) == []


async def test_whoever_only_looks_sees_the_entries_in_pages_and_claims_none(unit_of_work: UnitOfWork) -> None:
    await add(unit_of_work, *(cancelled(number, 2) for number in range(1, 6)))
    found: list[OutboxEntry] = []
    async with unit_of_work.reading() as tx:
        while page := await tx.outbox.page(after=found[-1].position if found else None, limit=2):
            assert len(page) <= 2
            found += page
    assert found == await claim(unit_of_work)


async def test_an_event_that_commits_late_still_leaves(unit_of_work: UnitOfWork) -> None:
    """Its position may be lower than one that was sent long ago."""
    async with asyncio.timeout(60):
        added, may_commit = asyncio.Event(), asyncio.Event()

        async def commit_late() -> None:
            async with unit_of_work() as tx:
                await tx.events.add_many([cancelled(1, 1)])
                added.set()
                await may_commit.wait()

        late = asyncio.create_task(commit_late())
        await added.wait()
        early = asyncio.create_task(add(unit_of_work, cancelled(2, 1)))
        # Where writers work side by side it commits now, and where there is one writer it waits.
        await asyncio.wait([early], timeout=0.2)
        if early.done():
            await remove(unit_of_work, *await claim(unit_of_work))
        may_commit.set()
        await asyncio.gather(late, early)
    assert 1 in [entry.id.order_id.int for entry in await claim(unit_of_work)]


async def test_placing_and_cancelling_keep_their_times(unit_of_work: UnitOfWork) -> None:
    _, event = placed(a_line())
    await add(unit_of_work, event, cancelled(1, 2))
    async with unit_of_work.reading() as tx:
        assert [event.at for event in await tx.events.of_orders([event.order_id])] == [NOW, LATER]
