"""Bulk operations on orders: each is decided as for a single order, told of once, and changed once."""

import asyncio
import json
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import pytest
from attrs import define, evolve

from application.access.principal import SYSTEM, Forbidden, Principal, the_system
from application.access.scopes import Scope
from application.errors import Unavailable
from application.execution.conditional import OrderCall, order_id_in
from application.intake.queue_orders import Queued
from application.jobs.kinds import CHANGE_ORDER, AttemptEnded, Progress
from application.operations import bulk
from application.operations.bulk import Act, BulkRequest, ChosenOrders, Confirmation, CountNotConfirmed, FilterTooWide
from application.operations.bulk_operations import ListBulk, StartBulk
from application.orders.cancel_order import CancelOrder
from application.orders.record_changes import RecordChanges
from application.orders.signed_changes import signed
from domain.dead_letter import InvalidDecision
from domain.errors import DomainError
from domain.ids import JobId, OrderId
from domain.jobs.job import Job, JobStatus, new_job
from domain.orders.events import OrderChangeAccepted
from domain.orders.order import Order
from tests.unit.application.test_bulk import TROUBLES, begun, run_again_after_trouble, running, shown, worker
from tests.unit.intakes import Intakes
from tests.unit.shop import Shop, a_request
from tests.unit.unsteady import Trouble

ANA = the_system("ana")
NOWHERE = OrderId(UUID(int=7))


async def start(shop: Shop, act: Act, *ids: OrderId, count: int | None = None, by: Principal = ANA, **only: Any) -> Job:
    """An operation that a worker has begun."""
    wanted = BulkRequest(act=act, only=ChosenOrders(ids=ids, only=only), reason="a wrong price")
    starting = StartBulk(shop.unit_of_work, shop.new_id, shop.clock)
    started = await starting(by, wanted, shown=await shown(shop, wanted, count))
    return await begun(shop, started.job)


async def orders(shop: Shop, count: int) -> list[Order]:
    pen = await shop.sells(stock=count)
    return [await shop.order((pen, 1)) for _ in range(count)]


async def failed(shop: Shop) -> Order:
    """An order whose payment was declined."""
    pen = await shop.sells(stock=1)
    order = await shop.order((pen, 1))
    shop.provider.declines = True
    assert await shop.process_payment([await shop.ask_for_payment(order)]) == [None]
    shop.provider.declines = False
    return await shop.now(order)


async def results(shop: Shop, job: Job) -> dict[str, tuple[str, str]]:
    lines = [json.loads(line) for line in shop.store.files[job.id, "items"].content.splitlines()]
    told = {each["id"]: (each["outcome"], each["reason"]) for each in lines}
    assert len(told) == len(lines), "an order is told of twice"
    return told


async def status(shop: Shop, order: Order) -> str:
    return (await shop.now(order)).status.value


async def test_orders_of_a_filter_are_cancelled_and_each_is_in_the_audit(shop: Shop) -> None:
    [cheap, *_] = await orders(shop, 3)
    paid = await shop.paid((await shop.sells(stock=1), 1))
    job, (run, _) = await start(shop, "cancel", status=["PENDING"]), running(shop)
    # It is about what was there at the start.
    later = await shop.order((await shop.sells(stock=1), 1))
    progress = Progress()
    assert await run(job, progress) == {"outcomes": {"done": 3}, "stopped": ""}
    assert (progress.done, progress.total) == (3, 3)
    assert (await status(shop, cheap), await status(shop, paid), await status(shop, later)) == (
        "CANCELLED",
        "PAID",
        "PENDING",
    )
    noted = [(entry.subject, entry.by.key_id) for entry in shop.store.audit if entry.action == "order.cancelled"]
    assert (f"order {cheap.id}", "ana") in noted
    assert len(noted) == 3
    [began] = [entry for entry in shop.store.audit if entry.action == "bulk_operation.started"]
    assert (began.reason, began.after["orders"]) == ("a wrong price", {"filter": {"status": ["PENDING"]}})


async def test_what_is_refused_is_told_with_its_reason_and_what_is_so_already_is_skipped(shop: Shop) -> None:
    [pending, cancelled] = await orders(shop, 2)
    await shop.use_cases.cancel_order(ANA, cancelled.id)
    paid = await shop.paid((await shop.sells(stock=1), 1))
    job, (run, _) = await start(shop, "cancel", pending.id, cancelled.id, paid.id, NOWHERE, pending.id), running(shop)
    assert (await run(job, Progress()))["outcomes"] == {"done": 1, "skipped": 1, "failed": 2}
    assert await results(shop, job) == {
        str(pending.id): ("done", ""),
        str(cancelled.id): ("skipped", "it is as it was asked for already"),
        str(paid.id): ("failed", "IllegalTransition: " + await refusal(shop, paid)),
        str(NOWHERE): ("failed", f"UnknownOrder: there is no order {NOWHERE}"),
    }
    assert await status(shop, paid) == "PAID"


async def refusal(shop: Shop, order: Order) -> str:
    """What a cancellation of this order alone is refused with."""
    [refused] = await CancelOrder(shop.unit_of_work, shop.clock)([order.id])
    assert isinstance(refused, DomainError)
    return str(refused)


async def test_the_payment_of_an_order_that_failed_is_asked_for_again_and_of_no_other(shop: Shop) -> None:
    declined, [pending, paying] = await failed(shop), await orders(shop, 2)
    await shop.use_cases.request_payment(ANA, paying.id)
    shop.store.outbox.clear()
    job, (run, _) = await start(shop, "retry", declined.id, pending.id, paying.id), running(shop)
    async with worker(shop):
        assert (await run(job, Progress()))["outcomes"] == {"done": 1, "failed": 1, "skipped": 1}
    told = await results(shop, job)
    assert told[str(pending.id)] == ("failed", "nobody has asked for its payment yet, so there is none to retry")
    assert [await status(shop, each) for each in (declined, pending, paying)] == ["PAID", "PENDING", "PROCESSING"]
    await shop.use_cases.cancel_order(ANA, pending.id)
    job = await start(shop, "retry", pending.id)
    assert (await run(job, Progress()))["outcomes"] == {"failed": 1}


async def declined(shop: Shop, count: int) -> list[Order]:
    """Orders whose payments were declined, by cards that are good again."""
    return [await failed(shop) for _ in range(count)]


async def test_payments_are_asked_for_again_in_waves_and_what_came_of_each_is_told(shop: Shop) -> None:
    placed = await declined(shop, 120)
    job, (run, _) = await start(shop, "retry", count=120, status=["FAILED"]), running(shop)
    at_once = 0

    async def look() -> None:
        nonlocal at_once
        while True:
            at_once = max(at_once, sum(order.charge_is_due for order in shop.store.orders.values()))
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    async with worker(shop):
        assert await run(job, Progress()) == {"outcomes": {"done": 120}, "stopped": ""}
    looking.cancel()
    assert at_once == 100
    assert set((await results(shop, job)).values()) == {("done", "")}
    assert {await status(shop, order) for order in placed} == {"PAID"}


async def test_a_provider_that_does_not_answer_is_asked_for_one_payment_and_no_more(shop: Shop) -> None:
    placed = await declined(shop, 3)
    # Nobody works on what is asked for.
    job, (run, _) = await start(shop, "retry", status=["FAILED"]), running(shop, patience=0.05)
    told = await run(job, Progress())
    stopped = "nothing came of a payment for 0.05 s: is a worker at work, and the provider there?"
    assert told == {"outcomes": {"open": 1, "skipped": 2}, "stopped": stopped}
    assert sorted([await status(shop, order) for order in placed]) == ["FAILED", "FAILED", "PROCESSING"]
    assert ("skipped", stopped) in (await results(shop, job)).values()


async def test_a_card_that_is_declined_again_says_nothing_of_the_others(shop: Shop) -> None:
    await declined(shop, 12)
    shop.provider.declines = True
    job, (run, _) = await start(shop, "retry", status=["FAILED"]), running(shop)
    async with worker(shop):
        assert await run(job, Progress()) == {"outcomes": {"failed": 12}, "stopped": ""}
    assert set((await results(shop, job)).values()) == {("failed", "its payment has failed again: payment_declined")}


async def test_orders_whose_payment_is_not_asked_for_again_count_in_no_wave(shop: Shop) -> None:
    [again], pen = await declined(shop, 1), await shop.sells(stock=150)
    for _ in range(150):
        await shop.paid((pen, 1))
    job, (run, _) = await start(shop, "retry", count=151, user_id=1), running(shop)
    shop.unsteady.to_come.extend([None] * 1000)
    async with worker(shop):
        assert (await run(job, Progress()))["outcomes"] == {"skipped": 150, "done": 1}
    assert await status(shop, again) == "PAID"
    # One transaction for each hundred, and a few more; and not one for each order.
    assert len(shop.unsteady.to_come) > 990


async def test_what_asks_for_no_payment_makes_no_wave_larger(shop: Shop) -> None:
    """The first payment that is asked for is one alone, however many orders before it need none."""
    await declined(shop, 3)
    pen = await shop.sells(stock=120)
    for _ in range(120):
        await shop.paid((pen, 1))
    # Nobody works on what is asked for.
    job, (run, _) = await start(shop, "retry", count=123, user_id=1), running(shop, patience=0.05)
    assert (await run(job, Progress()))["outcomes"] == {"skipped": 122, "open": 1}


@pytest.mark.parametrize("at", [0, 1, 2, 3])
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES.keys())
async def test_wherever_a_retry_stops_it_goes_on_and_asks_for_no_payment_twice(
    shop: Shop, trouble: Trouble, at: int
) -> None:
    placed = await declined(shop, 12)
    job, (run, _) = await start(shop, "retry", status=["FAILED"]), running(shop)
    shop.unsteady.to_come.extend([None] * at + [trouble])
    async with worker(shop):
        told = await run_again_after_trouble(run, job)
    assert told == {"outcomes": {"done": 12}, "stopped": ""}
    assert set((await results(shop, job)).values()) == {("done", "")}
    asked = Counter(event.order_id for event in shop.store.events.values() if event.type == "order.payment_requested")
    assert asked == {order.id: 2 for order in placed}


async def test_what_was_asked_for_when_a_retry_is_stopped_is_told_as_open(shop: Shop) -> None:
    [order, _] = await declined(shop, 2)
    job, (run, _) = await start(shop, "retry", order.id), running(shop)
    going = asyncio.create_task(run(job, Progress()))
    async with asyncio.timeout(60):
        while not (await shop.use_cases.get_bulk(ANA, job.id)).in_flight:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0)
    await shop.use_cases.stop_bulk(ANA, job.id)
    going.cancel()
    why = "its payment was asked for, and the operation was stopped before anything came of it"
    assert await results(shop, job) == {str(order.id): ("open", why)}


async def test_an_order_for_which_an_earlier_change_waits_is_left_to_it(shop: Shop) -> None:
    [order] = await orders(shop, 1)
    async with shop.unit_of_work() as tx:
        await tx.jobs.add_many(
            [new_job(id=JobId(UUID(int=1)), kind=CHANGE_ORDER, arguments={}, order_id=order.id, now=shop.clock())]
        )
    job, (run, _) = await start(shop, "cancel", order.id), running(shop)
    assert (await run(job, Progress()))["outcomes"] == {"failed": 1}
    assert await status(shop, order) == "PENDING"


async def test_so_is_one_whose_change_was_accepted_while_the_database_was_away(shop: Shop) -> None:
    [first, second] = await orders(shop, 2)
    changes = [
        signed(
            OrderChangeAccepted(
                order_id=order.id, at=shop.clock(), job_id=JobId(order.id), asked='{"change":"pay"}', signature=""
            ),
            shop.store.secret,
        )
        for order in (first, second)
    ]
    await shop.ports.accepted_changes.put_many(changes)
    await RecordChanges(shop.unit_of_work)(changes[1:])
    async with shop.unit_of_work() as tx:
        [made] = (await tx.jobs.get_many({changes[1].job_id}, lock=True)).values()
        made.begin(at=shop.clock())
        made.complete(at=shop.clock(), result=None)
        await tx.jobs.save_many([made])
    job, (run, _) = await start(shop, "cancel", status=["PENDING"]), running(shop)
    assert await run(job, Progress()) == {"outcomes": {"failed": 1, "done": 1}, "stopped": ""}
    assert (await results(shop, job))[str(first.id)] == ("failed", "another change of it waits, and is made first")
    assert await status(shop, second) == "CANCELLED"


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES.keys())
async def test_wherever_it_stops_it_goes_on_and_changes_nothing_twice(shop: Shop, trouble: Trouble, at: int) -> None:
    placed = await orders(shop, 250)
    job, (run, _) = await start(shop, "cancel", count=250, status=["PENDING"]), running(shop)
    shop.unsteady.to_come.extend([None] * at + [trouble])
    told = await run_again_after_trouble(run, job)
    assert told == {"outcomes": {"done": 250}, "stopped": ""}
    assert set((await results(shop, job)).values()) == {("done", "")}
    noted = Counter(entry.subject for entry in shop.store.audit if entry.action == "order.cancelled")
    assert noted == {f"order {order.id}": 1 for order in placed}


@define
class Breaking:
    """Cancels orders, but for some that no transaction can write."""

    inner: CancelOrder
    bad: Collection[OrderId]
    broken: int = 0

    async def locked(self, tx: Any, orders: Any, calls: Sequence[OrderCall]) -> Any:
        if not {order_id_in(call) for call in calls}.isdisjoint(self.bad):
            self.broken += 1
            raise OverflowError("date value out of range")
        return await self.inner.locked(tx, orders, calls)


@pytest.mark.parametrize("bad", [{0}, {99}, {100}, {3, 57, 58, 101}])
async def test_one_that_can_not_be_written_keeps_no_other_from_being_changed(shop: Shop, bad: set[int]) -> None:
    placed = [order.id for order in reversed(await orders(shop, 102))]
    cancel = Breaking(CancelOrder(shop.unsteady, shop.clock), {placed[number] for number in bad})
    job, (run, _) = await start(shop, "cancel", count=102, status=["PENDING"]), running(shop, cancel=cancel)
    assert await run(job, Progress()) == {"outcomes": {"failed": len(bad), "done": 102 - len(bad)}, "stopped": ""}
    told = await results(shop, job)
    for number, id_ in enumerate(placed):
        expected = ("failed", "OverflowError: date value out of range") if number in bad else ("done", "")
        assert told[str(id_)] == expected, number
    # It is found by halves: one by one, its batch would be tried up to a hundred times.
    assert cancel.broken <= 30 * len(bad)


async def test_a_stopped_operation_changes_nothing_more(shop: Shop) -> None:
    placed = await orders(shop, 2)
    job, (run, _) = await start(shop, "cancel", *(order.id for order in placed)), running(shop)
    stopped = await shop.use_cases.stop_bulk(ANA, job.id)
    assert stopped.job.status is JobStatus.CANCELLED
    with pytest.raises(AttemptEnded):
        await run(job, Progress())
    assert [await status(shop, order) for order in placed] == ["PENDING", "PENDING"]


async def test_a_database_that_is_away_ends_the_attempt_and_not_the_operation(shop: Shop) -> None:
    [order] = await orders(shop, 1)
    job, (run, _) = await start(shop, "cancel", order.id), running(shop)
    shop.unsteady.to_come.append(Trouble(Unavailable("away")))
    with pytest.raises(Unavailable):
        await run(job, Progress())
    assert (await run(job, Progress()))["outcomes"] == {"done": 1}


async def test_more_orders_than_one_look_finds_are_all_counted_and_the_count_is_to_be_sent_back(shop: Shop) -> None:
    await orders(shop, 501)
    wanted = BulkRequest(act="cancel", only=ChosenOrders(only={"user_id": 1}), reason="x")
    measured = await shop.use_cases.measure_bulk(ANA, wanted)
    assert (measured.count, measured.more, measured.needs_count) == (501, False, True)
    with pytest.raises(CountNotConfirmed, match="there are 501 of them"):
        await start(shop, "cancel", count=500, user_id=1)
    assert shop.store.jobs == {}


async def test_what_is_done_is_what_was_shown_and_not_as_many_others(shop: Shop) -> None:
    placed = await orders(shop, 102)
    await shop.use_cases.cancel_order(ANA, placed[0].id)
    wanted = BulkRequest(act="cancel", only=ChosenOrders(only={"status": ["PENDING"]}), reason="x")
    seen = await shown(shop, wanted, 101)
    await shop.use_cases.cancel_order(ANA, placed[1].id)
    await orders(shop, 1)
    with pytest.raises(CountNotConfirmed, match="there are 101 of them, and not the same ones"):
        await shop.use_cases.start_bulk(ANA, wanted, shown=seen)
    # Of so many, the number alone does not say which are meant.
    with pytest.raises(CountNotConfirmed, match="count them with `dry_run`"):
        await shop.use_cases.start_bulk(ANA, wanted, shown=Confirmation(101))
    assert shop.store.jobs == {}
    # What is sent of few is compared as well.
    few = evolve(wanted, only=ChosenOrders(ids=(placed[5].id,)))
    with pytest.raises(CountNotConfirmed, match="not the same"):
        await shop.use_cases.start_bulk(ANA, few, shown=Confirmation(digest=seen.digest))
    await shop.use_cases.start_bulk(ANA, few, shown=Confirmation())


async def test_a_filter_that_leads_through_too_many_orders_is_to_be_narrowed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "_STRETCH", 3)
    monkeypatch.setattr(bulk, "MOST_LOOKED_THROUGH", 9)
    [*_, last] = await orders(shop, 10)
    rare = BulkRequest(act="cancel", only=ChosenOrders(only={"total_min": 10**9}), reason="x")
    for call in (shop.use_cases.measure_bulk(ANA, rare), shop.use_cases.start_bulk(ANA, rare)):
        with pytest.raises(FilterTooWide, match="narrow the filter"):
            await call
    await shop.use_cases.cancel_order(ANA, last.id)
    narrowed = evolve(rare, only=ChosenOrders(only={"total_min": 10**9, "status": ["CANCELLED"]}))
    assert (await shop.use_cases.measure_bulk(ANA, narrowed)).ids == []
    monkeypatch.setattr(bulk, "MOST_LOOKED_THROUGH", 12)
    assert (await shop.use_cases.measure_bulk(ANA, rare)).ids == []


async def test_an_order_that_is_accepted_and_not_recorded_is_not_told_as_unknown(shop: Shop) -> None:
    intakes, [known], pen = Intakes(shop), await orders(shop, 1), await shop.sells()
    await intakes.learn_prices()
    queued = await intakes.queued.place_order(SYSTEM, a_request((pen, 1)))
    assert isinstance(queued, Queued)
    waiting = queued.order.id
    for act in ("cancel", "retry"):
        job = await start(shop, act, known.id, waiting, NOWHERE)  # type: ignore[arg-type] # both are acts
        run, _ = running(shop, unrecorded=intakes.unrecorded)
        await run(job, Progress())
        told = await results(shop, job)
        why = f"NotYetRecorded: order {waiting} has been accepted and is not recorded yet: try again in a moment"
        assert told[str(waiting)] == ("failed", why)
        assert told[str(NOWHERE)] == ("failed", f"UnknownOrder: there is no order {NOWHERE}")
    intakes.recent.gone = True
    job = await start(shop, "cancel", waiting, NOWHERE)
    await run(job, Progress())
    told = await results(shop, job)
    # This process has queued the one, and another one may have queued the other.
    assert told[str(waiting)][1].startswith("NotYetRecorded: ")
    assert told[str(NOWHERE)][1].startswith("Unavailable: ")
    assert await status(shop, known) == "CANCELLED"


async def test_to_cancel_needs_a_reason_and_each_act_its_own_scope(shop: Shop) -> None:
    [order] = await orders(shop, 1)
    wanted = BulkRequest(act="cancel", only=ChosenOrders(ids=(order.id,)))
    with pytest.raises(InvalidDecision, match="say why the orders are cancelled"):
        await shop.use_cases.start_bulk(ANA, wanted)
    for act, needs in (("cancel", Scope.ORDERS_WRITE), ("retry", Scope.PAYMENTS_WRITE)):
        job = await start(shop, act, order.id)  # type: ignore[arg-type] # both are acts
        for allowed in (needs, Scope.DEAD_LETTERS_REPLAY):
            by = Principal("ben", scopes=frozenset({allowed}))
            calls = (
                shop.use_cases.measure_bulk(by, evolve(wanted, act=act)),
                shop.use_cases.get_bulk(by, job.id),
                shop.use_cases.read_items(by, await shop.use_cases.get_bulk(ANA, job.id), at=0),
                shop.use_cases.stop_bulk(by, job.id),
            )
            for call in calls:
                if allowed is needs:
                    await call
                else:
                    with pytest.raises(Forbidden, match=str(needs)):
                        await call


async def test_each_caller_is_listed_the_operations_that_it_may_follow(shop: Shop) -> None:
    [order] = await orders(shop, 1)
    started = [(await start(shop, act, order.id)).id for act in ("cancel", "retry", "cancel")]  # type: ignore[arg-type]
    by = Principal("ben", scopes=frozenset({Scope.ORDERS_WRITE}))
    for limit in (1, 2, 9):
        found = (await shop.use_cases.list_bulk(by, limit=limit)).operations
        assert {each.job.id for each in found} <= {started[0], started[2]}
        assert len(found) == min(limit, 2)
    assert len((await shop.use_cases.list_bulk(ANA, limit=9)).operations) == 3


async def test_a_page_of_the_list_looks_at_some_operations_and_says_where_it_goes_on(shop: Shop) -> None:
    [order] = await orders(shop, 1)
    acts: list[Act] = ["cancel", "retry", "retry", "retry", "cancel"]
    started = [(await start(shop, act, order.id)).id for act in acts]
    by, listing = Principal("ben", scopes=frozenset({Scope.ORDERS_WRITE})), ListBulk(shop.unit_of_work, stretch=2)
    pages, before = [], None
    while True:
        found = await listing(by, before=before, limit=2)
        pages.append([each.job.id for each in found.operations])
        if (before := found.looked_to) is None:
            break
    assert pages == [[started[4]], [], [started[0]]]
    assert [len((await listing(ANA, limit=1)).operations) for _ in range(2)] == [1, 1]
