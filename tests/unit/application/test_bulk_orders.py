"""Bulk operations on orders: each is decided as for a single order, told of once, and changed once."""

import json
from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve

from application.access.principal import Forbidden, Principal, the_system
from application.access.scopes import Scope
from application.errors import Aborted, OutcomeUnknown, Unavailable
from application.jobs.kinds import CHANGE_ORDER, AttemptEnded, Progress
from application.operations.bulk import Act, BulkRequest, ChosenOrders, CountNotConfirmed
from application.operations.bulk_operations import StartBulk
from application.orders.cancel_order import CancelOrder
from domain.dead_letter import InvalidDecision
from domain.errors import DomainError
from domain.ids import JobId, OrderId
from domain.jobs.job import Job, JobStatus, new_job
from domain.orders.order import Order
from tests.unit.application.test_bulk import TROUBLES, begun, running
from tests.unit.provider import Crash
from tests.unit.shop import Shop
from tests.unit.unsteady import Trouble

ANA = the_system("ana")
NOWHERE = OrderId(UUID(int=7))


async def start(shop: Shop, act: Act, *ids: OrderId, count: int | None = None, by: Principal = ANA, **only: Any) -> Job:
    """An operation that a worker has begun."""
    wanted = BulkRequest(act=act, only=ChosenOrders(ids=ids, only=only), reason="a wrong price")
    starting = StartBulk(shop.unit_of_work, shop.new_id, shop.clock)
    return await begun(shop, await starting(by, wanted, count=count))


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
    assert (await run(job, Progress()))["outcomes"] == {"done": 1, "failed": 1, "skipped": 1}
    told = await results(shop, job)
    assert told[str(pending.id)] == ("failed", "nobody has asked for its payment yet, so there is none to retry")
    assert [await status(shop, each) for each in (declined, pending, paying)] == ["PROCESSING", "PENDING", "PROCESSING"]
    [request] = await shop.outbox()
    assert (request.id.order_id, request.type) == (declined.id, "order.payment_requested")
    await shop.use_cases.cancel_order(ANA, pending.id)
    job = await start(shop, "retry", pending.id)
    assert (await run(job, Progress()))["outcomes"] == {"failed": 1}


async def test_an_order_for_which_an_earlier_change_waits_is_left_to_it(shop: Shop) -> None:
    [order] = await orders(shop, 1)
    async with shop.unit_of_work() as tx:
        await tx.jobs.add_many(
            [new_job(id=JobId(UUID(int=1)), kind=CHANGE_ORDER, arguments={}, order_id=order.id, now=shop.clock())]
        )
    job, (run, _) = await start(shop, "cancel", order.id), running(shop)
    assert (await run(job, Progress()))["outcomes"] == {"failed": 1}
    assert await status(shop, order) == "PENDING"


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES.keys())
async def test_wherever_it_stops_it_goes_on_and_changes_nothing_twice(shop: Shop, trouble: Trouble, at: int) -> None:
    placed = await orders(shop, 250)
    job, (run, _) = await start(shop, "cancel", count=250, status=["PENDING"]), running(shop)
    shop.unsteady.to_come.extend([None] * at + [trouble])
    for _ in range(3):
        try:
            told = await run(job, Progress())
        except (OutcomeUnknown, Aborted, Crash):
            continue
        break
    assert told == {"outcomes": {"done": 250}, "stopped": ""}
    assert set((await results(shop, job)).values()) == {("done", "")}
    noted = Counter(entry.subject for entry in shop.store.audit if entry.action == "order.cancelled")
    assert noted == {f"order {order.id}": 1 for order in placed}


async def test_one_that_can_not_be_written_keeps_no_other_from_being_changed(shop: Shop) -> None:
    placed = await orders(shop, 3)
    job, (run, _) = await start(shop, "cancel", *(order.id for order in placed)), running(shop)
    refused = Trouble(OverflowError("date value out of range"))
    shop.unsteady.to_come.extend([refused, refused])
    assert await run(job, Progress()) == {"outcomes": {"failed": 1, "done": 2}, "stopped": ""}


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
        found = await shop.use_cases.list_bulk(by, limit=limit)
        assert {each.job.id for each in found} <= {started[0], started[2]}
        assert len(found) == min(limit, 2)
    assert len(await shop.use_cases.list_bulk(ANA, limit=9)) == 3
