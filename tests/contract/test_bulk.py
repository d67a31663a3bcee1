"""Bulk operations on every database: one operation a key, one change an order, and no order that costs the others."""

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from attrs import evolve
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from adapters.codecs.events import encode
from adapters.memory.accepted_changes import MemoryAcceptedChanges
from adapters.memory.caches import MemoryRecentOrders
from adapters.sql.tables.orders import order_items
from adapters.sql.unit_of_work import SqlUnitOfWork
from application.access.principal import Forbidden, Principal, the_system
from application.access.scopes import Scope
from application.errors import Aborted, OutcomeUnknown
from application.execution.idempotency import Keyed, KeyReused
from application.intake.unrecorded import Unrecorded
from application.jobs.files import whole_file
from application.jobs.kinds import MESSAGE, Progress
from application.messaging.decide_dead_letters import DiscardDeadLetters, ReplayDeadLetters
from application.operations.act_on_orders import ActOnOrders, Promised
from application.operations.bulk import Act, BulkRequest, ChosenOrders, Confirmation, CountNotConfirmed
from application.operations.bulk_operations import GetBulk, ListBulk, MeasureBulk, StartBulk
from application.operations.run_bulk import RunBulk
from application.orders.cancel_order import CancelOrder
from application.payments.request_payment import RequestPayment
from application.ports.audit import Caller
from application.ports.idempotency import IdempotencyKey
from application.ports.persistence import UnitOfWork
from domain.dead_letter import DeadMessage
from domain.dead_letter_groups import CauseFilter
from domain.ids import JobId, ProductId, UserId
from domain.jobs.job import Job, new_job
from domain.orders.order import Order
from domain.orders.status import FailureReason
from tests.contract.conftest import keep
from tests.unit.builders import NOW, a_line, a_product, an_order
from tests.unit.unsteady import Trouble, UnsteadyUnitOfWork

ANA = the_system("ana")
BY = Caller("ana", "r1")
KEY = IdempotencyKey("bulk", "monday")


def now() -> Any:
    return NOW


def cancel(**only: Any) -> BulkRequest:
    return BulkRequest(act="cancel", only=ChosenOrders(only=only), reason="a wrong price")


def under(wanted: BulkRequest, key: IdempotencyKey = KEY) -> Keyed[BulkRequest]:
    return Keyed(wanted, key, "")


def starting(unit_of_work: UnitOfWork) -> StartBulk:
    return StartBulk(unit_of_work, uuid7, now)


async def operations(unit_of_work: UnitOfWork) -> list[JobId]:
    return [each.job.id for each in (await ListBulk(unit_of_work)(ANA, limit=50)).operations]


async def begun(unit_of_work: UnitOfWork) -> int:
    """How many operations have been started, by the audit."""
    async with unit_of_work.reading() as tx:
        entries = await tx.audit.page(subject=None, request_id=None, action=None, before=None, limit=100)
    return sum(entry.action == "bulk_operation.started" for entry in entries)


@pytest.fixture
async def placed(unit_of_work: UnitOfWork) -> list[Order]:
    orders = [evolve(an_order(a_line(), number=number), user_id=UserId(7)) for number in range(1, 102)]
    await keep(unit_of_work, products=[a_product()], orders=orders)
    return orders


async def test_one_key_is_one_operation_whatever_is_there_when_it_is_sent_again(
    unit_of_work: UnitOfWork, placed: Sequence[Order]
) -> None:
    start, wanted = starting(unit_of_work), cancel(user_id=7, status=["PENDING"])
    seen = await MeasureBulk(unit_of_work)(ANA, wanted)
    shown = Confirmation(seen.count, seen.digest)
    first = await start(ANA, under(wanted), shown=shown)
    await CancelOrder(unit_of_work, now)([placed[0].id])
    for sent in (shown, Confirmation(), Confirmation(5, "0" * 32)):
        assert (await start(ANA, under(wanted), shown=sent)).id == first.id
    # With another API key, which a client may have got meanwhile, and from another address.
    again = await start(the_system("ana's next key"), under(wanted), shown=shown)
    assert (again.id, again.job.arguments["by"]["key_id"]) == (first.id, "ana")
    assert (first.replayed, again.replayed) == (False, True)
    assert (await operations(unit_of_work), await begun(unit_of_work)) == ([first.id], 1)
    # Without a key, and under another one, it is another operation, and what is there now is to be confirmed.
    for call in (wanted, under(wanted, IdempotencyKey("bulk", "tuesday"))):
        with pytest.raises(CountNotConfirmed):
            await start(ANA, call, shown=shown)
        await start(ANA, call)
    assert await begun(unit_of_work) == 3


async def test_another_request_under_a_key_is_refused_and_starts_nothing(
    unit_of_work: UnitOfWork, placed: Sequence[Order]
) -> None:
    start, ids = starting(unit_of_work), tuple(order.id for order in placed[:2])
    wanted = BulkRequest(act="cancel", only=ChosenOrders(ids=ids), reason="a wrong price")
    first = await start(ANA, under(wanted))
    others = (
        evolve(wanted, act="retry"),
        evolve(wanted, reason="another reason"),
        evolve(wanted, only=ChosenOrders(ids=ids[:1])),
        evolve(wanted, only=ChosenOrders(only={"user_id": 7})),
        BulkRequest(act="discard", only=CauseFilter(), reason="a wrong price"),
    )
    for other in others:
        with pytest.raises(KeyReused):
            await start(ANA, under(other))
    async with unit_of_work() as tx:
        key = IdempotencyKey("bulk", "of a message")
        await tx.jobs.add_many([new_job(id=JobId(key.order_id), kind=MESSAGE, arguments={}, now=NOW)])
    with pytest.raises(KeyReused):
        await start(ANA, under(wanted, key))
    # What is refused uses up no key.
    unused = IdempotencyKey("bulk", "unused")
    with pytest.raises(CountNotConfirmed):
        await start(ANA, under(wanted, unused), shown=Confirmation(3))
    assert (await operations(unit_of_work), await begun(unit_of_work)) == ([first.id], 1)
    await start(ANA, under(evolve(wanted, act="retry"), unused))


async def test_nobody_learns_by_a_key_of_what_it_may_not_start(
    unit_of_work: UnitOfWork, placed: Sequence[Order]
) -> None:
    start, wanted = starting(unit_of_work), cancel(user_id=7, status=["CANCELLED"])
    await start(ANA, under(wanted))
    for scopes in (set(), {Scope.PAYMENTS_WRITE}, {Scope.ORDERS_WRITE}):
        with pytest.raises(Forbidden):
            await start(Principal("eve", scopes=frozenset(scopes)), under(wanted))
    assert len(placed) == 101


@pytest.mark.parametrize("committed", [True, False])
async def test_a_lost_answer_is_asked_for_again_under_the_key(
    unit_of_work: UnitOfWork, placed: Sequence[Order], *, committed: bool
) -> None:
    unsteady = UnsteadyUnitOfWork(unit_of_work, [Trouble(OutcomeUnknown("no answer"), committed=committed)])
    start, wanted = starting(unsteady), BulkRequest(act="retry", only=ChosenOrders(ids=(placed[0].id,)))
    with pytest.raises(OutcomeUnknown):
        await start(ANA, under(wanted))
    assert len(await operations(unit_of_work)) == committed
    job = await start(ANA, under(wanted))
    assert (await operations(unit_of_work), await begun(unit_of_work)) == ([job.id], 1)


async def test_a_key_that_is_used_many_times_at_once_starts_one_operation(
    unit_of_work: UnitOfWork, placed: Sequence[Order]
) -> None:
    start, wanted = starting(unit_of_work), BulkRequest(act="retry", only=ChosenOrders(ids=(placed[0].id,)))

    async with asyncio.timeout(60):
        started = await asyncio.gather(*(start(ANA, under(wanted)) for _ in range(8)))
    [id_] = {each.id for each in started}
    assert [each.replayed for each in started].count(False) == 1
    assert (await operations(unit_of_work), await begun(unit_of_work)) == ([id_], 1)


async def test_whoever_is_aborted_by_the_same_request_tries_again_under_the_key(
    unit_of_work: UnitOfWork, placed: Sequence[Order]
) -> None:
    unsteady = UnsteadyUnitOfWork(unit_of_work)
    wanted = BulkRequest(act="retry", only=ChosenOrders(ids=(placed[0].id,)))
    aborted = Trouble(Aborted("another transaction was faster"))
    unsteady.to_come += [aborted]
    job = await starting(unsteady)(ANA, under(wanted))
    assert (await operations(unit_of_work), await begun(unit_of_work)) == ([job.id], 1)
    # Without a key nobody knows whether it is the same one.
    unsteady.to_come += [aborted]
    with pytest.raises(Aborted):
        await starting(unsteady)(ANA, wanted)


async def test_a_key_outlives_its_operation_and_then_starts_another(
    unit_of_work: UnitOfWork, placed: Sequence[Order]
) -> None:
    start, wanted = (
        starting(unit_of_work),
        BulkRequest(act="cancel", only=ChosenOrders(ids=(placed[0].id,)), reason="x"),
    )
    job = await run(unit_of_work, (await start(ANA, under(wanted))).job)
    async with unit_of_work() as tx:
        [ended] = (await tx.jobs.get_many({job.id}, lock=True)).values()
        ended.complete(at=NOW, result=None)
        await tx.jobs.save_many([ended])
        assert await tx.jobs.remove_finished(NOW.replace(year=NOW.year + 1), limit=9) == 1
    # The files of the job are kept for another time.
    assert await told(unit_of_work, await run(unit_of_work, (await start(ANA, under(wanted))).job)) == {
        str(placed[0].id): ("skipped", "it is as it was asked for already")
    }


async def test_dead_letters_are_confirmed_by_a_digest_as_well(unit_of_work: UnitOfWork) -> None:
    async def fail(*bodies: bytes) -> None:
        messages = [
            DeadMessage(body=each, reason="KeyError: 1", attempts=8, first_at=NOW, last_at=NOW) for each in bodies
        ]
        async with unit_of_work() as tx:
            await tx.dead_letters.record("payments", messages)

    await fail(*(b"%d" % number for number in range(101)))
    wanted = BulkRequest(act="discard", only=CauseFilter(error="KeyError"), reason="x")
    seen = await MeasureBulk(unit_of_work)(ANA, wanted)
    async with unit_of_work() as tx:
        [letter] = await tx.dead_letters.page(decided=False, after=None, limit=1)
        await DiscardDeadLetters(unit_of_work, now).within(tx, ANA, [letter.id], reason="x")
    await fail(b"another")
    with pytest.raises(CountNotConfirmed, match="not the same"):
        await starting(unit_of_work)(ANA, wanted, shown=Confirmation(seen.count, seen.digest))
    assert await operations(unit_of_work) == []


# --- What is done


def acting(unit_of_work: UnitOfWork) -> ActOnOrders:
    unrecorded = Unrecorded(MemoryRecentOrders(), MemoryRecentOrders())
    cancel, pay = CancelOrder(unit_of_work, now), RequestPayment(unit_of_work, now)
    return ActOnOrders(cancel, pay, unrecorded, MemoryAcceptedChanges())


async def run(unit_of_work: UnitOfWork, job: Job) -> Job:
    """Run an operation as a worker does."""
    async with unit_of_work() as tx:
        [job] = (await tx.jobs.get_many({job.id}, lock=True)).values()
        job.begin(at=await tx.jobs.now())
        await tx.jobs.save_many([job])
    replay, discard = ReplayDeadLetters(unit_of_work, now), DiscardDeadLetters(unit_of_work, now)
    elapsed = asyncio.get_running_loop().time
    async with asyncio.timeout(60):
        await RunBulk(unit_of_work, replay, discard, acting(unit_of_work), elapsed, patience=0.01)(job, Progress())
    return job


async def told(unit_of_work: UnitOfWork, job: Job) -> dict[int | str, tuple[str, str]]:
    async with unit_of_work.reading() as tx:
        lines = [json.loads(line) for line in (await whole_file(tx, job.id, "items")).splitlines()]
    return {each["id"]: (each["outcome"], each["reason"]) for each in lines}


@pytest.mark.parametrize("act", ["cancel", "retry"])
async def test_two_acts_at_once_on_an_order_change_it_once(unit_of_work: UnitOfWork, act: Act) -> None:
    """The second one waits for the first, and decides about the order as that one has left it."""
    orders = [an_order(a_line(), number=number) for number in range(1, 11)]
    await keep(unit_of_work, products=[a_product(stock=99)], orders=orders)
    if act == "retry":
        async with unit_of_work() as tx:
            failing = list((await tx.orders.get_many({order.id for order in orders}, lock=True)).values())
            for order in failing:
                order.request_payment(order.next_payment, at=NOW)
            await tx.orders.save_many(failing)
            for order in failing:
                order.fail(FailureReason.PAYMENT_DECLINED, {ProductId(1): a_product()}, at=NOW)
            await tx.orders.save_many(failing)
    act_on = acting(unit_of_work)

    async def decide(order: Order) -> str:
        async with unit_of_work() as tx:
            [result] = await act_on(tx, act, BY, [str(order.id)], promised=Promised(), most=1)
        return f"{order.id} {result.outcome}"

    async with asyncio.timeout(60):
        outcomes = await asyncio.gather(*(decide(order) for _ in range(2) for order in orders))
    assert sorted(outcomes) == sorted(f"{order.id} {outcome}" for order in orders for outcome in ("done", "skipped"))


async def test_an_order_that_can_not_be_read_costs_no_other(sql_engine: AsyncEngine) -> None:
    unit_of_work = SqlUnitOfWork(sql_engine)
    orders = [an_order(a_line(), number=number) for number in range(1, 151)]
    await keep(unit_of_work, products=[a_product()], orders=orders)
    bad = orders[40].id
    async with sql_engine.begin() as connection:
        await connection.execute(update(order_items).where(order_items.c.order_id == bad).values(quantity=77))
    seen = await MeasureBulk(unit_of_work)(ANA, cancel(status=["PENDING"]))
    shown = Confirmation(seen.count, seen.digest)
    started = await starting(unit_of_work)(ANA, cancel(status=["PENDING"]), shown=shown)
    job = await run(unit_of_work, started.job)
    results = await told(unit_of_work, job)
    outcome, reason = results.pop(str(bad))
    assert (outcome, str(bad) in reason, "not the sum of its lines" in reason) == ("failed", True, True)
    assert list(results.values()) == [("done", "")] * 149
    assert (await GetBulk(unit_of_work)(ANA, job.id)).outcomes == {"done": 149, "failed": 1}


async def test_a_message_whose_order_can_not_be_read_ends_no_replay(sql_engine: AsyncEngine) -> None:
    """Nothing is known of it, and what came of the others is told."""
    unit_of_work = SqlUnitOfWork(sql_engine)
    orders = [an_order(a_line(), number=number) for number in range(1, 12)]
    await keep(unit_of_work, products=[a_product(stock=99)], orders=orders)
    async with unit_of_work() as tx:
        asking = list((await tx.orders.get_many({order.id for order in orders}, lock=True)).values())
        asked = [order.request_payment(order.next_payment, at=NOW) for order in asking]
        await tx.orders.save_many(asking)
        await tx.events.add_many(asked)
        dead = partial(DeadMessage, reason="KeyError: 1", attempts=8, first_at=NOW, last_at=NOW)
        await tx.dead_letters.record("payments", [dead(body=encode(each)) for each in asked])
        letters = await tx.dead_letters.page(decided=False, after=None, limit=11)
        # Somebody else has dealt with them meanwhile, so that no worker is needed here.
        for order in asking:
            order.fail(FailureReason.OUT_OF_STOCK, {ProductId(1): a_product()}, at=NOW)
        await tx.orders.save_many(asking)
    # The first wave is the first letter, and this one is in the middle of the second.
    bad = letters[5]
    assert bad.event is not None
    async with sql_engine.begin() as connection:
        broken = update(order_items).where(order_items.c.order_id == bad.event.order_id).values(quantity=77)
        await connection.execute(broken)
    started = await starting(unit_of_work)(ANA, BulkRequest(act="replay", only=CauseFilter()))
    job = await run(unit_of_work, started.job)
    results = {id_: outcome for id_, (outcome, _) in (await told(unit_of_work, job)).items()}
    assert results == {letter.id: "open" if letter is bad else "done" for letter in letters}
