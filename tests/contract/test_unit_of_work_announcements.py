"""Announcements that were put off: in memory, and on every database."""

from contextlib import suppress
from datetime import timedelta

import pytest
from attrs import evolve

from application.ports.outbox import LONGEST_DELAY, Announcement, OutboxEntry
from application.ports.persistence import UnitOfWork
from domain.ids import OrderId
from domain.orders.events import EventId
from tests.brokers import entries, order_paid, payment_requested
from tests.unit.builders import NOW


class Undone(Exception):
    """Rolls a transaction back."""


def an_announcement(
    position: int, *, of: OrderId | None = None, after: timedelta = timedelta(0), attempts: int = 1
) -> Announcement:
    [entry] = entries(payment_requested(position, order_id=of))
    return Announcement(
        entry=evolve(entry, position=position), attempts=attempts, since=NOW - timedelta(days=1), delay=after
    )


def as_read(announcement: Announcement) -> Announcement:
    return evolve(announcement, delay=timedelta(0))


async def put_off(unit_of_work: UnitOfWork, *announcements: Announcement) -> None:
    async with unit_of_work() as tx:
        await tx.announcements.put_off(announcements)


async def due(unit_of_work: UnitOfWork, *, by: str = "relay 1", limit: int = 100) -> list[Announcement]:
    async with unit_of_work() as tx:
        await tx.outbox.claim(by=by, limit=1)
        return await tx.announcements.due(within=timedelta(0), by=by, limit=limit)


async def claimed(unit_of_work: UnitOfWork) -> list[OutboxEntry]:
    async with unit_of_work() as tx:
        return await tx.outbox.claim(by="relay 1", limit=100)


async def test_an_announcement_is_read_as_it_was_put_off(unit_of_work: UnitOfWork) -> None:
    announcement = an_announcement(7, attempts=7)
    announcement = evolve(announcement, entry=evolve(announcement.entry, position=2**40))
    await put_off(unit_of_work, announcement)
    assert await due(unit_of_work) == [announcement]


async def test_what_is_not_due_waits(unit_of_work: UnitOfWork) -> None:
    await put_off(unit_of_work, an_announcement(1, after=timedelta(seconds=1)), an_announcement(2, after=LONGEST_DELAY))
    assert await due(unit_of_work) == []


async def test_what_is_put_off_for_longer_than_can_be_is_due(unit_of_work: UnitOfWork) -> None:
    void = an_announcement(1, after=LONGEST_DELAY + timedelta(days=1))
    await put_off(unit_of_work, void)
    assert await due(unit_of_work) == [as_read(void)]


async def test_all_of_an_order_come_with_the_one_that_is_due_in_their_sequence(unit_of_work: UnitOfWork) -> None:
    first = an_announcement(5)
    order_id = first.entry.id.order_id
    second = an_announcement(6, of=order_id, after=LONGEST_DELAY, attempts=0)
    third = an_announcement(9, of=order_id, after=LONGEST_DELAY, attempts=0)
    await put_off(unit_of_work, third, first, an_announcement(7, after=timedelta(minutes=1)), second)
    assert await due(unit_of_work) == [as_read(each) for each in (first, second, third)]


async def test_a_limit_takes_the_orders_that_are_due_the_longest(unit_of_work: UnitOfWork) -> None:
    announcements = [an_announcement(number, after=-timedelta(minutes=number)) for number in range(1, 6)]
    await put_off(unit_of_work, *announcements)
    assert {each.entry.position for each in await due(unit_of_work, limit=2)} == {4, 5}


async def test_one_that_is_put_off_again_is_replaced(unit_of_work: UnitOfWork) -> None:
    announcement = an_announcement(1)
    await put_off(unit_of_work, evolve(announcement, delay=LONGEST_DELAY))
    again = evolve(announcement, attempts=2)
    await put_off(unit_of_work, again)
    assert await due(unit_of_work) == [again]


async def test_one_that_is_removed_is_gone_and_the_others_stay(unit_of_work: UnitOfWork) -> None:
    gone, stays = an_announcement(1), an_announcement(2)
    await put_off(unit_of_work, gone, stays)
    async with unit_of_work() as tx:
        await tx.announcements.remove([gone.entry])
    assert await due(unit_of_work) == [stays]


async def test_a_relay_without_the_lease_gets_none(unit_of_work: UnitOfWork) -> None:
    await put_off(unit_of_work, an_announcement(1))
    assert len(await due(unit_of_work, by="relay 1")) == 1
    assert await due(unit_of_work, by="relay 2") == []


@pytest.mark.parametrize("is_put_off", [True, False])
async def test_a_claim_says_whether_an_earlier_announcement_waits(
    unit_of_work: UnitOfWork, *, is_put_off: bool
) -> None:
    held, free = payment_requested(4), order_paid(2)
    async with unit_of_work() as tx:
        await tx.outbox.re_enqueue([held, free])
    if is_put_off:
        await put_off(unit_of_work, an_announcement(1000, of=held.order_id))
    found = {entry.id: entry.held_up for entry in await claimed(unit_of_work)}
    assert found == {EventId(held.order_id, 4): is_put_off, EventId(free.order_id, 2): False}


async def test_a_claim_says_which_announcements_wait_themselves(unit_of_work: UnitOfWork) -> None:
    own = payment_requested(2)
    behind = payment_requested(4, order_id=own.order_id)
    async with unit_of_work() as tx:
        await tx.outbox.re_enqueue([own])
    [entry] = await claimed(unit_of_work)
    async with unit_of_work() as tx:
        await tx.outbox.re_enqueue([behind])
    await put_off(unit_of_work, evolve(an_announcement(1), entry=entry))
    assert [(each.id.sequence, each.held_up, each.is_put_off) for each in await claimed(unit_of_work)] == [
        (2, True, True),
        (4, True, False),
    ]


async def test_what_a_transaction_puts_off_holds_up_what_it_claims(unit_of_work: UnitOfWork) -> None:
    held = payment_requested(4)
    async with unit_of_work() as tx:
        await tx.outbox.re_enqueue([held])
    async with unit_of_work() as tx:
        await tx.announcements.put_off([an_announcement(1000, of=held.order_id)])
        [entry] = await tx.outbox.claim(by="relay 1", limit=10)
        assert entry.held_up


async def test_nothing_is_put_off_or_removed_by_what_rolls_back(unit_of_work: UnitOfWork) -> None:
    kept = an_announcement(1)
    await put_off(unit_of_work, kept)
    with suppress(Undone):
        async with unit_of_work() as tx:
            await tx.announcements.put_off([an_announcement(2)])
            await tx.announcements.remove([kept.entry])
            raise Undone
    assert await due(unit_of_work) == [kept]
