"""Work that its queue has refused: in memory, and on every database."""

from attrs import evolve

from application.ports.outbox import Announcement, OutboxEntry, Waits
from application.ports.persistence import UnitOfWork
from domain.orders.events import Event
from tests.brokers import entries, payment_requested, refund_requested
from tests.unit.builders import NOW


def waiting(position: int, event: Event | None = None) -> OutboxEntry:
    [entry] = entries(event or payment_requested())
    return evolve(entry, position=position)


async def put_off(unit_of_work: UnitOfWork, *work: OutboxEntry) -> None:
    async with unit_of_work() as tx:
        await tx.waiting_work.put_off(work)


async def oldest(
    unit_of_work: UnitOfWork, type_: str = "order.payment_requested", *, by: str = "relay 1", limit: int = 100
) -> list[OutboxEntry]:
    async with unit_of_work() as tx:
        await tx.outbox.claim(by=by, limit=1)
        return await tx.waiting_work.oldest(type_, by=by, limit=limit)


async def test_the_oldest_of_one_type_are_read_as_they_were_put_off(unit_of_work: UnitOfWork) -> None:
    work = [waiting(number) for number in (2**40, 3, 2)]
    await put_off(unit_of_work, *work, waiting(1, refund_requested(1)))
    assert await oldest(unit_of_work, limit=2) == [work[2], work[1]]
    assert await oldest(unit_of_work) == [work[2], work[1], work[0]]
    assert [each.position for each in await oldest(unit_of_work, "order.refund_requested")] == [1]


async def test_what_is_put_off_twice_waits_once_until_it_is_removed(unit_of_work: UnitOfWork) -> None:
    work = waiting(7)
    await put_off(unit_of_work, work)
    await put_off(unit_of_work, work)
    assert await oldest(unit_of_work) == [work]
    async with unit_of_work() as tx:
        await tx.waiting_work.remove([work])
    assert await oldest(unit_of_work) == []


async def test_a_relay_without_the_lease_gets_none(unit_of_work: UnitOfWork) -> None:
    await put_off(unit_of_work, waiting(7))
    assert len(await oldest(unit_of_work, by="relay 1")) == 1
    assert await oldest(unit_of_work, by="relay 2") == []


async def test_pages_go_on_above_a_position(unit_of_work: UnitOfWork) -> None:
    work = [waiting(number) for number in (1, 5, 9)]
    await put_off(unit_of_work, *work)
    async with unit_of_work.reading() as tx:
        assert await tx.waiting_work.page(after=None, limit=2) == work[:2]
        assert await tx.waiting_work.page(after=5, limit=2) == work[2:]


async def test_an_event_that_waits_is_not_put_into_the_outbox_again(unit_of_work: UnitOfWork) -> None:
    waits, lost = payment_requested(), payment_requested()
    await put_off(unit_of_work, waiting(7, waits))
    async with unit_of_work() as tx:
        await tx.outbox.re_enqueue([waits, lost])
    async with unit_of_work.reading() as tx:
        assert [entry.id.order_id for entry in await tx.outbox.page(after=None, limit=9)] == [lost.order_id]


async def test_the_events_of_an_order_are_found_wherever_they_wait(unit_of_work: UnitOfWork) -> None:
    event = payment_requested()
    of_order = [evolve(event, sequence=sequence) for sequence in (2, 3, 4, 5)]
    here, refused, put_off_, both = (waiting(position, each) for position, each in enumerate(of_order, 10**6))
    async with unit_of_work() as tx:
        await tx.outbox.re_enqueue([of_order[0], payment_requested()])
        await tx.waiting_work.put_off([refused, both, waiting(10)])
        await tx.announcements.put_off([Announcement(entry=entry, attempts=1, since=NOW) for entry in (put_off_, both)])
    async with unit_of_work.reading() as tx:
        assert await tx.outbox.waiting(event.order_id) == {
            here.id: Waits.OUTBOX,
            refused.id: Waits.AT_ITS_QUEUE,
            put_off_.id: Waits.PUT_OFF,
            # It is work, and that is what the order waits for.
            both.id: Waits.AT_ITS_QUEUE,
        }
        assert await tx.outbox.waiting(payment_requested().order_id) == {}
