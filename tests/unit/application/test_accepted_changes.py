"""Changes of orders while the database is away: they are accepted, and made in sequence once it is back."""

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from adapters.codecs.events import MAX_BYTES, decode, encode
from application.errors import OutcomeUnknown, Unavailable
from application.execution.conditional import OnlyIf
from application.execution.idempotency import KeyReused
from application.orders.accept_changes import AcceptChanges, NamedChange
from application.orders.change_details import DetailsChange
from application.orders.change_jobs import CHANGE_DETAILS, MOST_WAITING, ChangeQueued, TooManyChangesWait
from application.orders.record_changes import ForgedChange
from domain.errors import UnknownOrder
from domain.ids import JobId, OrderId
from domain.jobs.job import JobStatus, UnknownJob
from domain.metadata import MAX_KEY, MAX_KEYS, MAX_VALUE
from domain.orders.events import OrderChangeAccepted
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.unit.application.test_queued_changes import ANA, BOB, finish, pay, queued_order, run_jobs, taken
from tests.unit.intakes import Intakes
from tests.unit.shop import Shop, types


@pytest.fixture
def intakes(shop: Shop) -> Intakes:
    return Intakes(shop)


async def recorded_order(intakes: Intakes) -> Order:
    order = await queued_order(intakes)
    assert await intakes.work_off() == [None]
    return order


def note(order: Order, text: str) -> DetailsChange:
    return DetailsChange(order.id, changes={"note": text})


class Outage:
    """The database is away."""

    def __init__(self, intakes: Intakes) -> None:
        self._database = intakes.shop.unsteady

    def __enter__(self) -> None:
        self._database.gone = True

    def __exit__(self, *_: object) -> None:
        self._database.gone = False


async def test_each_change_is_accepted_and_made_once_the_database_is_back(intakes: Intakes) -> None:
    order, shop = await queued_order(intakes), intakes.auto
    with Outage(intakes):
        jobs = [
            await taken(await shop.change_details(ANA, note(order, "ring twice"))),
            await taken(await shop.cancel_order(ANA, order.id)),
            await taken(await shop.delete_order(ANA, order.id)),
        ]
        assert {(await shop.get_job(ANA, job.id)).status for job in jobs} == {JobStatus.AVAILABLE}
    assert await intakes.work_off() == [None] * 4
    assert set(await finish(intakes, *jobs)) == {JobStatus.COMPLETED}
    assert types(await intakes.shop.history(order)) == ["placed", "details_changed", "cancelled", "deleted"]
    by = {entry.by.key_id for entry in intakes.shop.store.audit if entry.subject == f"order {order.id}"}
    assert by == {"ana"}


async def test_so_is_a_change_of_an_order_that_is_recorded(intakes: Intakes) -> None:
    order, shop = await recorded_order(intakes), intakes.auto
    with Outage(intakes):
        job = await taken(await shop.request_payment(ANA, pay(order.id)))
    assert await intakes.work_off() == [None]
    assert await finish(intakes, job) == [JobStatus.COMPLETED]
    assert intakes.shop.store.orders[order.id].status is OrderStatus.PROCESSING


async def test_changes_are_made_in_sequence_whatever_the_sequence_of_their_messages(intakes: Intakes) -> None:
    order, shop = await recorded_order(intakes), intakes.auto
    with Outage(intakes):
        jobs = [await taken(await shop.change_details(ANA, note(order, text))) for text in ("first", "second", "third")]
    for event in reversed(intakes.queue.events):
        intakes.queue.events = [event]
        assert await intakes.work_off() == [None]
        await run_jobs(intakes)
    await finish(intakes, *jobs)
    details = intakes.shop.store.orders[order.id].details
    assert details is not None
    assert details.note == "third"


async def test_a_change_that_is_asked_for_later_does_not_overtake_one_in_the_queue(intakes: Intakes) -> None:
    order, shop = await recorded_order(intakes), intakes.auto
    with Outage(intakes):
        accepted = await taken(await shop.cancel_order(ANA, order.id))
    # The database is back, and the queue is not worked off yet.
    later = await taken(await shop.request_payment(ANA, order.id))
    await run_jobs(intakes)
    assert intakes.shop.store.orders[order.id].status is OrderStatus.PENDING
    assert await intakes.work_off() == [None]
    assert await finish(intakes, accepted, later) == [JobStatus.COMPLETED, JobStatus.DISCARDED]
    assert types(await intakes.shop.history(order)) == ["placed", "cancelled", "change_refused"]
    # From then on, changes are made at once again.
    assert isinstance(await shop.delete_order(ANA, order.id), Order)


async def test_one_of_another_process_that_knows_nothing_of_it_is_waited_for(intakes: Intakes) -> None:
    """It stood in the table before the message was read, and was accepted before or after it: nobody can tell."""
    order, shop = await queued_order(intakes), intakes.auto
    with Outage(intakes):
        accepted = await taken(await shop.change_details(ANA, note(order, "in the queue")))
    known = intakes.shop.ports.accepted_changes
    await known.forget({order.id: [accepted.id]})
    other = await taken(await shop.change_details(ANA, note(order, "in the table")))
    await known.put_many([event for event in intakes.queue.events if isinstance(event, OrderChangeAccepted)])
    after_both = await taken(await shop.change_details(ANA, note(order, "the last")))
    assert set(await intakes.work_off()) == {None}
    await finish(intakes, accepted, other, after_both)
    details = intakes.shop.store.orders[order.id].details
    assert details is not None
    assert details.note == "the last"


async def test_a_message_that_comes_twice_is_one_change(intakes: Intakes) -> None:
    order, shop = await recorded_order(intakes), intakes.auto
    with Outage(intakes):
        job = await taken(await shop.request_payment(ANA, order.id))
    again = list(intakes.queue.events)
    assert await intakes.work_off() == [None]
    await finish(intakes, job)
    intakes.queue.events = [*again, *again]
    assert await intakes.work_off() == [None, None]
    await finish(intakes, job)
    assert len(intakes.shop.store.payments) == 1


async def test_a_request_that_is_sent_again_under_its_key_is_one_change(intakes: Intakes) -> None:
    order, shop = await recorded_order(intakes), intakes.auto
    with Outage(intakes):
        first = await taken(await shop.request_payment(ANA, pay(order.id)))
        again = await shop.request_payment(ANA, pay(order.id))
    assert isinstance(again, ChangeQueued)
    assert (again.job.id, again.replayed) == (first.id, True)
    # It is sent once more while the database is back and its message is not read.
    assert (await taken(await shop.request_payment(ANA, pay(order.id)))).id == first.id
    assert set(await intakes.work_off()) == {None}
    await finish(intakes, first)
    assert len(intakes.shop.store.payments) == 1


async def test_another_request_under_a_used_key_becomes_a_dead_letter(intakes: Intakes) -> None:
    order, shop = await recorded_order(intakes), intakes.auto
    with Outage(intakes):
        first = await taken(await shop.request_payment(ANA, pay(order.id)))
        await taken(await shop.request_payment(ANA, evolve(pay(order.id), fingerprint="another")))
    told = await intakes.work_off()
    assert told[0] is None
    assert isinstance(told[1], KeyReused)
    assert await finish(intakes, first) == [JobStatus.COMPLETED]


@pytest.mark.parametrize(
    "forge",
    [
        lambda event: evolve(event, signature="0" * 64),
        lambda event: evolve(event, signature="gr\u00fc\u00dfe"),
        lambda event: evolve(event, asked=event.asked.replace("cancel", "refund")),
        lambda event: evolve(event, order_id=OrderId(JobId(event.job_id))),
        lambda event: evolve(event, job_id=JobId(OrderId(event.order_id))),
        lambda event: evolve(event, at=event.at + timedelta(seconds=1)),
        lambda event: evolve(event, request_id="another"),
        lambda event: evolve(event, sequence=1),
    ],
)
async def test_what_nobody_here_has_signed_is_not_made(intakes: Intakes, forge: Any) -> None:
    order, shop = await recorded_order(intakes), intakes.auto
    with Outage(intakes):
        await taken(await shop.cancel_order(ANA, order.id))
    [event] = intakes.queue.events
    forged = decode(encode(forge(event)))
    assert isinstance(forged, OrderChangeAccepted)
    intakes.queue.events = [forged, event]
    told = await intakes.work_off()
    assert isinstance(told[0], ForgedChange)
    assert told[1] is None
    assert len(intakes.shop.store.jobs) == 1


async def test_a_clock_that_is_wrong_takes_no_change_away(intakes: Intakes) -> None:
    order, shop = await recorded_order(intakes), intakes.auto
    with Outage(intakes):
        job = await taken(await shop.cancel_order(ANA, order.id))
    intakes.shop.clock.forward(timedelta(days=366))
    assert await intakes.work_off() == [None]
    assert await finish(intakes, job) == [JobStatus.COMPLETED]


async def test_the_order_of_another_customer_is_unknown(intakes: Intakes) -> None:
    order, shop = await recorded_order(intakes), intakes.auto
    with Outage(intakes):
        job = await taken(await shop.cancel_order(ANA, order.id))
        for change in (shop.cancel_order, shop.delete_order, shop.request_payment):
            with pytest.raises(UnknownOrder):
                await change(BOB, order.id)
        with pytest.raises(UnknownJob):
            await shop.get_job(BOB, job.id)


async def test_an_order_that_only_the_database_may_know_is_not_called_unknown(intakes: Intakes) -> None:
    order, shop = await recorded_order(intakes), intakes.auto
    intakes.recent.gone = True
    intakes.own.clear()
    with Outage(intakes), pytest.raises(Unavailable):
        await shop.cancel_order(ANA, order.id)
    assert intakes.queue.events == []


async def test_a_change_with_a_condition_is_not_accepted(intakes: Intakes) -> None:
    order, shop = await recorded_order(intakes), intakes.auto
    with Outage(intakes), pytest.raises(Unavailable):
        await shop.cancel_order(ANA, OnlyIf(order.id, lambda found: found.version == 1))
    assert intakes.queue.events == []


async def test_the_changes_that_wait_for_one_order_have_a_bound(intakes: Intakes) -> None:
    order, shop = await recorded_order(intakes), intakes.auto
    with Outage(intakes):
        for number in range(MOST_WAITING):
            await taken(await shop.change_details(ANA, note(order, str(number))))
        with pytest.raises(TooManyChangesWait):
            await shop.cancel_order(ANA, order.id)


async def test_so_have_those_of_one_batch(intakes: Intakes) -> None:
    order, shop = await recorded_order(intakes), intakes.shop
    accept = AcceptChanges(
        intakes.queue.put_changes,
        intakes.unrecorded,
        shop.ports.accepted_changes,
        intakes.auto.shop_secret,
        shop.new_id,
        shop.clock,
    )
    asked = [NamedChange(CHANGE_DETAILS, note(order, str(number))) for number in range(MOST_WAITING + 2)]
    *accepted, one, another = await accept(asked)
    assert {type(each) for each in accepted} == {ChangeQueued}
    assert {type(one), type(another)} == {TooManyChangesWait}
    assert len(intakes.queue.events) == MOST_WAITING


async def test_the_largest_change_fits_into_a_message_and_arrives_as_it_was_asked_for(intakes: Intakes) -> None:
    """In any script: a request has up to 64 KB, and a worker would set a message aside that is too large."""
    order, shop = await recorded_order(intakes), intakes.auto
    for character in ("я", "漢", "😀", '"', "\\", "\n"):
        value = character * MAX_VALUE
        metadata = {f"{number:02}{character * (MAX_KEY - 2)}": value for number in range(MAX_KEYS)}
        with Outage(intakes):
            job = await taken(await shop.change_details(ANA, DetailsChange(order.id, changes={"metadata": metadata})))
        assert len(encode(intakes.queue.events[-1])) < MAX_BYTES * 3 // 4
        assert await intakes.work_off() == [None]
        assert intakes.shop.store.jobs[job.id].arguments["changes"] == {"metadata": metadata}


async def test_a_change_that_the_broker_did_not_confirm_is_not_promised(intakes: Intakes) -> None:
    order, shop = await recorded_order(intakes), intakes.auto
    intakes.queue.confirms = 0
    with Outage(intakes), pytest.raises(OutcomeUnknown):
        await shop.cancel_order(ANA, order.id)
    intakes.queue.confirms, intakes.queue.gone = 1000, True
    with Outage(intakes), pytest.raises(Unavailable):
        await shop.cancel_order(ANA, order.id)


async def test_where_no_orders_are_queued_no_changes_are(intakes: Intakes) -> None:
    order = await recorded_order(intakes)
    with Outage(intakes), pytest.raises(Unavailable):
        await intakes.direct.cancel_order(ANA, order.id)
    assert intakes.queue.events == []


async def test_a_process_that_has_never_read_the_secret_accepts_nothing(intakes: Intakes) -> None:
    order = await recorded_order(intakes)
    intakes.auto.shop_secret.value = None
    with Outage(intakes), pytest.raises(Unavailable):
        await intakes.auto.cancel_order(ANA, order.id)
    assert intakes.queue.events == []


async def test_a_change_from_before_the_shop_was_emptied_is_gone_with_its_order(intakes: Intakes) -> None:
    order, shop = await recorded_order(intakes), intakes.auto
    with Outage(intakes):
        await taken(await shop.cancel_order(ANA, order.id))
    intakes.shop.clock.forward(timedelta(seconds=1))
    intakes.shop.store.reset_at = intakes.shop.clock()
    assert await intakes.work_off() == [None]
    assert intakes.shop.store.jobs == {}


@pytest.mark.parametrize("is_back", [False, True])
async def test_a_request_that_is_sent_again_does_not_wait_for_what_came_after_it(
    intakes: Intakes, *, is_back: bool
) -> None:
    """Each would wait for the other, and neither change would be made."""
    order, shop = await recorded_order(intakes), intakes.auto
    with Outage(intakes):
        first = await taken(await shop.request_payment(ANA, pay(order.id)))
        second = await taken(await shop.change_details(ANA, note(order, "ring twice")))
        if not is_back:
            await taken(await shop.request_payment(ANA, pay(order.id)))
            # The last message comes first, as it may where there are several workers.
            intakes.queue.events.insert(0, intakes.queue.events.pop())
    third = await taken(await shop.change_details(ANA, note(order, "ring three times")))
    if is_back:
        await taken(await shop.request_payment(ANA, pay(order.id)))
    assert set(await intakes.work_off()) == {None}
    assert set(await finish(intakes, first, second, third)) == {JobStatus.COMPLETED}
