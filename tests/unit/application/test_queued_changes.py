"""Changes of orders that are accepted and not recorded yet: they are taken, and made in sequence after the order."""

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from application.access.principal import SYSTEM, Principal
from application.access.scopes import CUSTOMER_SCOPES
from application.execution.conditional import OnlyIf
from application.execution.idempotency import Keyed, KeyReused, Replayed
from application.intake.queue_orders import Queued
from application.intake.unrecorded import NotYetRecorded
from application.jobs.kinds import CHANGE_ORDER, Progress
from application.orders.change_details import DetailsChange
from application.orders.change_jobs import MOST_WAITING, ChangeQueued, TooManyChangesWait
from application.ports.idempotency import IdempotencyKey
from domain.errors import IllegalTransition, UnknownOrder
from domain.ids import OrderId, UserId
from domain.jobs.job import FINISHED, LONGEST_DELAY, Job, JobStatus, UnknownJob
from domain.orders.details import Address
from domain.orders.events import OrderChangeRefused
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from tests.unit.intakes import Intakes
from tests.unit.shop import Shop, a_request, types

ANA = Principal("ana", user_id=UserId(1), scopes=CUSTOMER_SCOPES)
BOB = Principal("bob", user_id=UserId(2), scopes=CUSTOMER_SCOPES)


@pytest.fixture
def intakes(shop: Shop) -> Intakes:
    return Intakes(shop)


async def queued_order(intakes: Intakes) -> Order:
    pen = await intakes.shop.sells()
    await intakes.learn_prices()
    queued = await intakes.queued.place_order(SYSTEM, a_request((pen, 1), user_id=1))
    assert isinstance(queued, Queued)
    return queued.order


async def taken(outcome: Any) -> Job:
    assert isinstance(outcome, ChangeQueued)
    return outcome.job


async def run_jobs(intakes: Intakes) -> None:
    """Run what is due until nothing is."""
    run = intakes.queued.run_jobs
    while await run() or not run.is_idle:
        pass


async def finish(intakes: Intakes, *jobs: Job) -> list[JobStatus]:
    """Run these jobs until they have ended, also those that have to wait for others."""
    for _ in range(400):
        await run_jobs(intakes)
        statuses = await status_of(intakes, *jobs)
        if FINISHED.issuperset(statuses):
            return statuses
        intakes.shop.clock.forward(LONGEST_DELAY)
    raise AssertionError(statuses)


async def status_of(intakes: Intakes, *jobs: Job) -> list[JobStatus]:
    return [(await intakes.queued.get_job(SYSTEM, job.id)).status for job in jobs]


def pay(order_id: OrderId, key: str = "monday") -> Keyed[OrderId]:
    return Keyed(order_id, IdempotencyKey(f"order {order_id}", key), "the same")


async def test_each_change_is_taken_and_made_once_the_order_is_recorded(intakes: Intakes) -> None:
    order, shop = await queued_order(intakes), intakes.queued
    note = await taken(await shop.change_details(ANA, DetailsChange(order.id, changes={"note": "ring twice"})))
    address = {"shipping_address": Address(city="Turin"), "metadata": {"floor": "3"}}
    parcel = await taken(await shop.change_details(ANA, DetailsChange(order.id, changes=address)))
    cancelled = await taken(await shop.cancel_order(ANA, order.id))
    deleted = await taken(await shop.delete_order(ANA, order.id))
    await run_jobs(intakes)
    assert set(await status_of(intakes, note, parcel, cancelled, deleted)) == {JobStatus.RETRYABLE}

    assert await intakes.work_off() == [None]

    assert set(await finish(intakes, note, parcel, cancelled, deleted)) == {JobStatus.COMPLETED}
    history = types(await intakes.shop.history(order))
    assert history == ["placed", "details_changed", "details_changed", "cancelled", "deleted"]
    recorded = intakes.shop.store.orders[order.id]
    assert recorded.details is not None
    assert (recorded.details.note, recorded.details.shipping_address) == ("ring twice", Address(city="Turin"))
    assert {entry.by.key_id for entry in intakes.shop.store.audit if entry.subject == f"order {order.id}"} == {"ana"}


async def test_what_the_rules_refuse_then_is_told_by_the_job_and_by_the_history(intakes: Intakes) -> None:
    order, shop = await queued_order(intakes), intakes.queued
    paid = await taken(await shop.request_payment(ANA, order.id))
    cancelled = await taken(await shop.cancel_order(ANA, order.id))
    await intakes.work_off()
    assert await finish(intakes, paid, cancelled) == [JobStatus.COMPLETED, JobStatus.DISCARDED]
    assert "PROCESSING cannot become CANCELLED" in str((await shop.get_job(ANA, cancelled.id)).error)
    assert intakes.shop.store.orders[order.id].status is OrderStatus.PROCESSING
    assert types(await intakes.shop.history(order)) == ["placed", "payment_requested", "change_refused"]
    told = (await intakes.shop.history(order))[-1]
    assert isinstance(told, OrderChangeRefused)
    assert (told.job_id, told.change, told.code) == (cancelled.id, "cancel", "illegal_transition")
    assert told.reason == "PROCESSING cannot become CANCELLED"
    assert intakes.shop.store.orders[order.id].version == told.sequence


async def test_a_refusal_is_told_once_however_often_its_worker_dies(intakes: Intakes) -> None:
    order, shop = await queued_order(intakes), intakes.queued
    paid = await taken(await shop.request_payment(ANA, order.id))
    cancelled = await taken(await shop.cancel_order(ANA, order.id))
    await intakes.work_off()
    await finish(intakes, paid, cancelled)
    make = shop.run_jobs.handlers[CHANGE_ORDER]
    for _ in range(3):
        with pytest.raises(IllegalTransition):
            await make(cancelled, Progress())
    assert types(await intakes.shop.history(order)) == ["placed", "payment_requested", "change_refused"]


async def test_of_a_deleted_order_no_refusal_is_told(intakes: Intakes) -> None:
    order, shop = await queued_order(intakes), intakes.queued
    deleted = await taken(await shop.delete_order(ANA, order.id))
    cancelled = await taken(await shop.cancel_order(ANA, order.id))
    await intakes.work_off()
    assert await finish(intakes, deleted, cancelled) == [JobStatus.COMPLETED, JobStatus.DISCARDED]
    assert types(await intakes.shop.history(order)) == ["placed", "deleted"]


async def test_a_change_does_not_overtake_one_that_waits(intakes: Intakes) -> None:
    order, shop = await queued_order(intakes), intakes.queued
    paid = await taken(await shop.request_payment(ANA, order.id))
    await intakes.work_off()
    # The order is there, and the payment is not requested yet.
    cancelled = await taken(await shop.cancel_order(ANA, order.id))
    assert await finish(intakes, paid, cancelled) == [JobStatus.COMPLETED, JobStatus.DISCARDED]
    assert isinstance(await shop.request_payment(ANA, order.id), Order)


async def test_a_payment_under_a_key_is_one_job_and_one_payment(intakes: Intakes) -> None:
    order, shop = await queued_order(intakes), intakes.queued
    first, again = [await taken(await shop.request_payment(ANA, pay(order.id))) for _ in range(2)]
    assert first == again
    with pytest.raises(KeyReused):
        await shop.request_payment(ANA, evolve(pay(order.id), fingerprint="another"))
    await intakes.work_off()
    await finish(intakes, first)
    told = await shop.request_payment(ANA, pay(order.id))
    assert told == Replayed(intakes.shop.store.orders[order.id])
    assert len(intakes.shop.store.payments) == 1


async def test_a_payment_that_is_made_again_after_a_crash_is_one_payment(intakes: Intakes) -> None:
    order, shop = await queued_order(intakes), intakes.queued
    job = await taken(await shop.request_payment(ANA, order.id))
    await intakes.work_off()
    await finish(intakes, job)
    intakes.shop.provider.declines = True
    await intakes.shop.process_payment([(await intakes.shop.history(order))[-1]])
    assert intakes.shop.store.orders[order.id].status is OrderStatus.FAILED
    # The worker died before it could record that the job was done.
    intakes.shop.store.jobs[job.id] = job
    assert await finish(intakes, job) == [JobStatus.COMPLETED]
    assert len(intakes.shop.store.payments) == 1


async def test_the_changes_that_wait_for_one_order_have_a_bound(intakes: Intakes) -> None:
    order, other, shop = await queued_order(intakes), await queued_order(intakes), intakes.queued
    first = await taken(await shop.request_payment(ANA, pay(order.id)))
    for number in range(1, MOST_WAITING):
        await taken(await shop.change_details(ANA, DetailsChange(order.id, changes={"note": str(number)})))
    with pytest.raises(TooManyChangesWait, match="20 changes"):
        await shop.cancel_order(ANA, order.id)
    # The same request once more, and another order.
    assert (await taken(await shop.request_payment(ANA, pay(order.id)))).id == first.id
    await taken(await shop.cancel_order(ANA, other.id))


async def test_the_order_of_another_customer_is_unknown(intakes: Intakes) -> None:
    order, shop = await queued_order(intakes), intakes.queued
    job = await taken(await shop.cancel_order(ANA, order.id))
    for change in (shop.cancel_order, shop.delete_order, shop.request_payment):
        with pytest.raises(UnknownOrder):
            await change(BOB, order.id)
    with pytest.raises(UnknownJob):
        await shop.get_job(BOB, job.id)
    assert (await shop.get_job(ANA, job.id)).order_id == order.id


async def test_whose_order_it_is_is_looked_at_again_when_the_change_is_made(intakes: Intakes) -> None:
    order, shop = await queued_order(intakes), intakes.queued
    job = await taken(await shop.cancel_order(ANA, order.id))
    intakes.shop.store.jobs[job.id] = evolve(job, arguments={**job.arguments, "owner": 2})
    await intakes.work_off()
    assert await finish(intakes, job) == [JobStatus.DISCARDED]
    assert intakes.shop.store.orders[order.id].status is OrderStatus.PENDING


async def test_a_change_with_a_condition_does_not_wait(intakes: Intakes) -> None:
    order, shop = await queued_order(intakes), intakes.queued
    with pytest.raises(NotYetRecorded):
        await shop.cancel_order(ANA, OnlyIf(order.id, lambda found: found.version == 1))
    assert intakes.shop.store.jobs == {}


async def test_a_change_of_an_order_that_nobody_records_is_given_up(intakes: Intakes) -> None:
    order, shop = await queued_order(intakes), intakes.queued
    job = await taken(await shop.cancel_order(ANA, order.id))
    # Whatever the clock says, this is the first attempt.
    intakes.shop.clock.forward(timedelta(days=366))
    await run_jobs(intakes)
    assert await status_of(intakes, job) == [JobStatus.RETRYABLE]
    assert await finish(intakes, job) == [JobStatus.DISCARDED]
