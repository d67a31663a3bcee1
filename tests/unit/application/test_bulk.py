"""Bulk operations: safe waves, one result for each item, and no item twice, wherever one stops."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from attrs import define, evolve, field

from adapters.codecs.events import decode, encode
from adapters.memory.caches import MemoryRecentOrders
from application.access.principal import ANYBODY, Forbidden, Principal, the_system
from application.access.scopes import Scope
from application.errors import Aborted, OutcomeUnknown, Unavailable
from application.intake.order_request import OrderRequest, RequestedItem
from application.intake.unrecorded import Unrecorded
from application.jobs.kinds import AttemptEnded, Progress
from application.messaging.by_order import ByOrder
from application.messaging.decide_dead_letters import DiscardDeadLetters, ReplayDeadLetters
from application.operations.act_on_orders import ActOnOrders
from application.operations.bulk import Act, BulkRequest, Confirmation, CountNotConfirmed
from application.operations.bulk_operations import MeasureBulk, StartBulk
from application.operations.run_bulk import RunBulk
from application.orders.cancel_order import CancelOrder
from application.orders.record_changes import RecordChanges
from application.orders.signed_changes import signed
from application.payments.pipeline import ProviderPipeline
from application.payments.process_payment import ProcessPayment
from application.payments.request_payment import RequestPayment
from domain.dead_letter import DeadMessage
from domain.dead_letter_groups import CauseFilter
from domain.ids import JobId, OrderId, PaymentId, UserId
from domain.jobs.job import Job, JobStatus
from domain.orders.details import OrderDetails
from domain.orders.events import Event, OrderAccepted, OrderChangeAccepted
from domain.orders.order import Order
from tests.unit.builders import NOW
from tests.unit.provider import Crash
from tests.unit.shop import Shop
from tests.unit.unsteady import Trouble

BROKEN = "KeyError in application.payments.process_payment.ProcessPayment.record: 'surprise'"
ANA = the_system("ana")


async def set_aside(shop: Shop, *dead: Event | bytes, reason: str = BROKEN) -> None:
    bodies = [each if isinstance(each, bytes) else encode(each) for each in dead]
    async with shop.unit_of_work() as tx:
        for body in bodies:
            later = NOW + timedelta(seconds=len(shop.store.dead_letters))
            message = DeadMessage(body=body, reason=reason, attempts=8, first_at=NOW, last_at=later)
            await tx.dead_letters.record("payments", [message])


async def dead_payments(shop: Shop, count: int) -> None:
    pen = await shop.sells(stock=count)
    requests = [(await shop.payment_requested((pen, 1)))[1] for _ in range(count)]
    shop.store.outbox.clear()
    await set_aside(shop, *requests)


async def start(shop: Shop, act: Act = "replay", *, count: int | None = None, **only: str) -> Job:
    """An operation that a worker has begun."""
    wanted = BulkRequest(act=act, only=CauseFilter(**only), reason="mended")
    starting = StartBulk(shop.unit_of_work, shop.new_id, shop.clock)
    started = await starting(ANA, wanted, shown=await shown(shop, wanted, count))
    return await begun(shop, started.job)


async def shown(shop: Shop, wanted: BulkRequest, count: int | None) -> Confirmation:
    """What somebody sends back who has seen so many, and which they are."""
    digest = None if count is None else (await MeasureBulk(shop.unit_of_work)(ANA, wanted)).digest
    return Confirmation(count, digest)


async def begun(shop: Shop, job: Job) -> Job:
    async with shop.unit_of_work() as tx:
        [job] = (await tx.jobs.get_many({job.id}, lock=True)).values()
        job.begin(at=shop.clock())
        await tx.jobs.save_many([job])
    return job


@define
class Counted:
    """Replays, and counts how many at once."""

    inner: ReplayDeadLetters
    waves: list[int] = field(factory=list)

    async def within(self, tx: Any, by: Principal, ids: Sequence[int], *, reason: str) -> Any:
        outcomes = await self.inner.within(tx, by, ids, reason=reason)
        self.waves.append(len(ids))
        return outcomes


def running(
    shop: Shop,
    *,
    patience: float = 60.0,
    unrecorded: Unrecorded | None = None,
    cancel: Any = None,
) -> tuple[RunBulk, Counted]:
    replay = Counted(ReplayDeadLetters(shop.unsteady, shop.clock))
    discard = DiscardDeadLetters(shop.unsteady, shop.clock)
    elapsed = asyncio.get_running_loop().time
    cancel, pay = cancel or CancelOrder(shop.unsteady, shop.clock), RequestPayment(shop.unsteady, shop.clock)
    unrecorded = unrecorded or Unrecorded(shop.recent, MemoryRecentOrders())
    on_orders = ActOnOrders(cancel, pay, unrecorded, shop.ports.accepted_changes)
    return RunBulk(shop.unsteady, replay, discard, on_orders, elapsed, patience=patience), replay  # type: ignore[arg-type]


@asynccontextmanager
async def worker(shop: Shop, *, broken: bool = False) -> AsyncIterator[None]:
    """What takes the replayed messages out of the outbox, and works on them."""

    # The troubles of the test are not its own.
    pay = ByOrder(ProviderPipeline(ProcessPayment(shop.unit_of_work, shop.provider, shop.clock)).until_done)

    async def work() -> None:
        while True:
            for entry in await shop.outbox():
                event = decode(entry.body)
                del shop.store.outbox[entry.position]
                if event.type == "order.payment_requested" and broken:
                    await set_aside(shop, event)
                elif event.type == "order.payment_requested":
                    await pay([event])
            await asyncio.sleep(0.001)

    task = asyncio.create_task(work())
    try:
        async with asyncio.timeout(60):
            yield
    finally:
        task.cancel()


async def results(shop: Shop, job: Job) -> list[dict[str, Any]]:
    kept = shop.store.files[job.id, "items"]
    return [json.loads(line) for line in kept.content.splitlines()]


def outcomes(found: list[dict[str, Any]]) -> Counter[str]:
    assert len({each["id"] for each in found}) == len(found), "an item is told of twice"
    return Counter(each["outcome"] for each in found)


async def waiting(shop: Shop) -> int:
    return sum(letter.decision is None for letter in shop.store.dead_letters.values())


async def test_a_replay_goes_in_waves_and_waits_for_what_comes_of_each(shop: Shop) -> None:
    await dead_payments(shop, 120)
    job, (run, replay) = await start(shop, count=120), running(shop)
    progress = Progress()
    async with worker(shop):
        assert await run(job, progress) == {"outcomes": {"done": 120}, "stopped": ""}
    assert (progress.done, progress.total) == (120, 120)
    assert replay.waves == [1, 10, 100, 9]
    assert outcomes(await results(shop, job)) == {"done": 120}
    assert {order.status.value for order in shop.store.orders.values()} == {"PAID"}
    assert shop.provider.taken == 120 * 1250
    assert await waiting(shop) == 0


async def test_it_stops_when_the_same_failure_comes_again(shop: Shop) -> None:
    await dead_payments(shop, 30)
    job, (run, replay) = await start(shop), running(shop)
    async with worker(shop, broken=True):
        told = await run(job, Progress())
    assert replay.waves == [1]
    assert told == {"outcomes": {"failed": 1, "skipped": 29}, "stopped": "the same failure came again: KeyError"}
    first, *rest = await results(shop, job)
    assert first == {
        "id": 1,
        "outcome": "failed",
        "reason": "it failed again: KeyError in application.payments.process_payment.ProcessPayment.record",
    }
    assert {each["reason"] for each in rest} == {"the same failure came again: KeyError"}
    # The one that failed again is a letter anew.
    assert await waiting(shop) == 30


async def test_it_stops_when_nothing_comes_of_a_replay(shop: Shop) -> None:
    await dead_payments(shop, 3)
    job, (run, _) = await start(shop), running(shop, patience=0.05)
    told = await run(job, Progress())
    assert told["outcomes"] == {"open": 1, "skipped": 2}
    assert told["stopped"].startswith("nothing came of a replay for 0.05 s")
    assert await waiting(shop) == 2


async def test_an_accepted_order_with_metadata_is_replayed(shop: Shop) -> None:
    """No set takes such an event."""
    order = await shop.order((await shop.sells(), 1))
    accepted = OrderAccepted(
        order_id=OrderId(UUID(int=7)),
        at=order.created_at,
        user_id=order.user_id,
        lines=order.lines,
        total=order.total,
        details=OrderDetails(metadata={"till": "7"}),
    )
    message = DeadMessage(body=encode(accepted), reason=BROKEN, attempts=8, first_at=NOW, last_at=NOW)
    async with shop.unit_of_work() as tx:
        await tx.dead_letters.record("intake", [message])
    job, (run, _) = await start(shop), running(shop)
    working = asyncio.create_task(run(job, Progress()))
    async with asyncio.timeout(60):
        while await waiting(shop):  # noqa: ASYNC110 - nobody says when
            await asyncio.sleep(0)
        assert await shop.persist_orders([accepted]) == [None]
        assert (await working)["outcomes"] == {"done": 1}


async def test_the_accepted_changes_of_an_order_are_replayed_and_done_once_they_are_jobs(shop: Shop) -> None:
    order = await shop.order((await shop.sells(), 1))
    shop.store.outbox.clear()
    changes = [
        signed(
            OrderChangeAccepted(order_id=order.id, at=NOW, job_id=JobId(UUID(int=number)), asked=asked, signature=""),
            shop.store.secret,
        )
        for number, asked in enumerate(('{"change":"cancel"}', '{"change":"delete"}'))
    ]
    messages = [
        DeadMessage(body=encode(each), reason=BROKEN, attempts=8, first_at=NOW, last_at=NOW) for each in changes
    ]
    async with shop.unit_of_work() as tx:
        await tx.dead_letters.record("intake", messages)
    job, (run, _) = await start(shop), running(shop, patience=0.1)
    told = await run(job, Progress())
    assert (told["outcomes"], await waiting(shop)) == ({"open": 1, "skipped": 1}, 1)

    job, (run, _) = await start(shop), running(shop)
    working = asyncio.create_task(run(job, Progress()))
    async with asyncio.timeout(60):
        while await waiting(shop):  # noqa: ASYNC110 - nobody says when
            await asyncio.sleep(0)
        # All are sent, although none of them has a number in the order's history.
        assert [decode(entry.body) for entry in await shop.outbox()] == changes
        assert await RecordChanges(shop.unit_of_work)(changes) == [None, None]
        assert (await working)["outcomes"] == {"done": 1}


async def test_orders_with_metadata_are_replayed(shop: Shop) -> None:
    requests = [await _request_with_metadata(shop) for _ in range(3)]
    shop.store.outbox.clear()
    await set_aside(shop, *requests)
    job, (run, _) = await start(shop), running(shop)
    async with worker(shop):
        assert (await run(job, Progress()))["outcomes"] == {"done": 3}


async def _request_with_metadata(shop: Shop) -> Event:
    """The request for the payment of an order that has all details."""
    items = (RequestedItem((await shop.sells()).id, 1),)
    details = OrderDetails(external_id=str(shop.new_id()), metadata={"till": "7"})
    wanted = OrderRequest(user_id=UserId(1), items=items, details=details)
    [order] = await shop.place_order([wanted])
    assert isinstance(order, Order)
    return await shop.ask_for_payment(order)


async def test_a_replay_stops_when_the_first_ten_can_not_be_replayed(shop: Shop) -> None:
    """It says why, and leaves the others alone."""
    await set_aside(shop, *(f"no JSON {number}".encode() for number in range(25)))
    job, (run, _) = await start(shop), running(shop)
    told = await run(job, Progress())
    assert told["outcomes"] == {"failed": 10, "skipped": 15}
    assert told["stopped"].startswith("none could be replayed: UnreadableMessage: dead letter 10 can't be read")


async def test_a_replay_that_works_is_not_stopped_by_what_can_not_be_replayed(shop: Shop) -> None:
    await dead_payments(shop, 1)
    await set_aside(shop, *(f"no JSON {number}".encode() for number in range(25)))
    job, (run, _) = await start(shop), running(shop)
    async with worker(shop):
        told = await run(job, Progress())
    assert told == {"outcomes": {"done": 1, "failed": 25}, "stopped": ""}


async def test_an_error_at_each_letter_stops_a_replay_as_well(shop: Shop) -> None:
    await dead_payments(shop, 25)
    job, (run, _) = await start(shop), running(shop)

    async def broken(*_: Any, **__: Any) -> Any:
        raise TypeError("unhashable type: 'dict'")

    run = evolve(run, replay=type("Broken", (), {"within": staticmethod(broken)})())
    told = await run(job, Progress())
    assert told["outcomes"] == {"failed": 10, "skipped": 15}
    assert told["stopped"] == "none could be replayed: TypeError: unhashable type: 'dict'"


async def test_only_what_matched_and_was_there_at_the_start_is_decided(shop: Shop) -> None:
    await set_aside(shop, b"1", b"2")
    await set_aside(shop, b"3", reason="BadMessage: no JSON")
    job = await start(shop, "discard", error="KeyError")
    await set_aside(shop, b"4")
    run, _ = running(shop)
    assert await run(job, Progress()) == {"outcomes": {"done": 2}, "stopped": ""}
    decided = [letter for letter in shop.store.dead_letters.values() if letter.decision]
    assert [(each.message.body, each.decided_by) for each in decided] == [(b"1", "ana"), (b"2", "ana")]
    noted = [entry for entry in shop.store.audit if entry.action == "dead_letter.decided"]
    assert [(entry.subject, entry.reason, entry.by.key_id) for entry in noted] == [
        ("dead letter 1", "mended", "ana"),
        ("dead letter 2", "mended", "ana"),
    ]


async def test_what_somebody_else_decided_is_skipped_and_what_is_refused_has_failed(shop: Shop) -> None:
    await dead_payments(shop, 2)
    [first, _] = await _requests(shop)
    await set_aside(shop, evolve(first, payment_id=PaymentId(UUID(int=7))))
    job, (run, replay) = await start(shop), running(shop)

    async def overtaken(tx: Any, by: Principal, ids: Sequence[int], *, reason: str) -> Any:
        """Somebody discards the second letter after the operation has chosen it."""
        if 2 in ids:
            await DiscardDeadLetters(shop.unit_of_work, shop.clock).within(tx, the_system("ben"), [2], reason="")
        return await replay.inner.within(tx, by, ids, reason=reason)

    run = evolve(run, replay=type("Overtaken", (), {"within": staticmethod(overtaken)})())
    async with worker(shop):
        await run(job, Progress())
    found = {each["id"]: (each["outcome"], each["reason"].partition(":")[0]) for each in await results(shop, job)}
    assert found == {1: ("done", ""), 2: ("skipped", "IllegalTransition"), 3: ("failed", "ForeignMessage")}


async def _requests(shop: Shop) -> list[Any]:
    return [event for event in shop.store.events.values() if event.type == "order.payment_requested"]


TROUBLES = {
    "the commit is not answered": Trouble(OutcomeUnknown("no answer")),
    "the commit is done and not answered": Trouble(OutcomeUnknown("no answer"), committed=True),
    "the process ends after a commit": Trouble(Crash(), committed=True),
    "another attempt was quicker": Trouble(Aborted("another writer")),
}


async def run_again_after_trouble(run: RunBulk, job: Job) -> Mapping[str, Any]:
    """Run the job until an attempt ends well, as a worker does, three times at most."""
    for _ in range(2):
        with suppress(OutcomeUnknown, Aborted, Crash):
            return await run(job, Progress())
    return await run(job, Progress())


@pytest.mark.parametrize("at", [0, 1, 2, 4])
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES.keys())
@pytest.mark.parametrize("act", ["replay", "discard"])
async def test_wherever_it_stops_it_goes_on_and_does_nothing_twice(
    shop: Shop, act: Act, trouble: Trouble, at: int
) -> None:
    await dead_payments(shop, 15)
    job, (run, _) = await start(shop, act), running(shop)
    shop.unsteady.to_come.extend([None] * at + [trouble])
    async with worker(shop):
        told = await run_again_after_trouble(run, job)
    assert told == {"outcomes": {"done": 15}, "stopped": ""}
    assert outcomes(await results(shop, job)) == {"done": 15}
    noted = Counter(entry.subject for entry in shop.store.audit if entry.action == "dead_letter.decided")
    assert set(noted.values()) == {1}
    assert len(noted) == 15
    if act == "discard":
        # The payments are done by another message, so that the shop is whole.
        shop.unsteady.to_come.clear()
        assert await shop.process_payment(await _requests(shop)) == [None] * 15


async def test_one_that_can_not_be_written_keeps_no_other_from_being_done(shop: Shop) -> None:
    await set_aside(shop, b"1", b"2", b"3")
    job, (run, _) = await start(shop, "discard"), running(shop)
    refused = Trouble(OverflowError("date value out of range"))
    shop.unsteady.to_come.extend([refused, refused])
    assert await run(job, Progress()) == {"outcomes": {"failed": 1, "done": 2}, "stopped": ""}
    assert [each["outcome"] for each in await results(shop, job)] == ["failed", "done", "done"]
    assert await waiting(shop) == 1


async def test_a_database_that_is_away_ends_the_attempt_and_not_the_operation(shop: Shop) -> None:
    await set_aside(shop, b"1")
    job, (run, _) = await start(shop, "discard"), running(shop)
    shop.unsteady.to_come.append(Trouble(Unavailable("away")))
    with pytest.raises(Unavailable):
        await run(job, Progress())
    assert await run(job, Progress()) == {"outcomes": {"done": 1}, "stopped": ""}


async def test_the_count_has_to_be_sent_back_and_has_to_be_right(shop: Shop) -> None:
    await set_aside(shop, *(b"%d" % number for number in range(101)))
    for wrong in (None, 100, 102):
        with pytest.raises(CountNotConfirmed, match="there are 101 of them"):
            await start(shop, "discard", count=wrong)
    assert shop.store.jobs == {}
    assert (await start(shop, "discard", count=101)).arguments["count"] == 101
    await set_aside(shop, b"another", reason="Other: x")
    with pytest.raises(CountNotConfirmed):
        await start(shop, "discard", error="Other", count=2)
    assert (await start(shop, "discard", error="Other")).arguments["count"] == 1


async def test_an_operation_that_is_stopped_in_the_middle_decides_about_nothing_more(shop: Shop) -> None:
    await set_aside(shop, *(b"%d" % number for number in range(1000)))
    job, (run, _), discard = await start(shop, "discard", count=1000), running(shop), asyncio.Event()

    async def within(tx: Any, by: Principal, ids: Sequence[int], *, reason: str) -> Any:
        discard.set()
        # Others go first.
        await asyncio.sleep(0.001)
        return await DiscardDeadLetters(shop.unit_of_work, shop.clock).within(tx, by, ids, reason=reason)

    run = evolve(run, discard=type("Slowly", (), {"within": staticmethod(within)})())
    async with asyncio.timeout(60):
        working = asyncio.create_task(run(job, Progress()))
        await discard.wait()
        await shop.use_cases.stop_bulk(ANYBODY, job.id)
        left = await waiting(shop)
        assert left > 0, "it was stopped too late to prove anything"
        with pytest.raises(AttemptEnded):
            await working
    assert await waiting(shop) == left


async def test_of_what_is_in_flight_a_stopped_operation_tells_that_nothing_is_known(shop: Shop) -> None:
    await dead_payments(shop, 3)
    job, (run, replay) = await start(shop), running(shop)
    working = asyncio.create_task(run(job, Progress()))
    async with asyncio.timeout(60):
        while not replay.waves or not await results_in_flight(shop, job):  # noqa: ASYNC110 - nobody says when
            await asyncio.sleep(0)
        stopped = await shop.use_cases.stop_bulk(ANYBODY, job.id)
        with pytest.raises(AttemptEnded):
            async with worker(shop):
                await working
    assert (stopped.in_flight, stopped.outcomes) == (0, {"open": 1})
    [told] = await results(shop, job)
    assert (told["id"], told["outcome"]) == (1, "open")
    assert "stopped before anything came of it" in told["reason"]


async def results_in_flight(shop: Shop, job: Job) -> int:
    return (await shop.use_cases.get_bulk(ANYBODY, job.id)).in_flight


async def test_of_two_attempts_only_the_current_one_writes(shop: Shop) -> None:
    await dead_payments(shop, 12)
    first, (run, _) = await start(shop), running(shop)
    second = await begun(shop, first)
    async with worker(shop):
        with pytest.raises(AttemptEnded):
            await run(first, Progress())
        assert (first.id, "items") not in shop.store.files
        assert await run(second, Progress()) == {"outcomes": {"done": 12}, "stopped": ""}


async def test_a_stopped_operation_takes_no_further_item_and_says_who_stopped_it(shop: Shop) -> None:
    await set_aside(shop, b"1")
    wanted = BulkRequest(act="discard", only=CauseFilter(), reason="mended")
    job = await StartBulk(shop.unit_of_work, shop.new_id, shop.clock)(ANA, wanted)
    stopped = await shop.use_cases.stop_bulk(ANYBODY, job.id)
    assert stopped.job.status is JobStatus.CANCELLED
    assert (await shop.use_cases.stop_bulk(ANYBODY, job.id)).job.status is JobStatus.CANCELLED
    async with asyncio.timeout(60):
        assert list(await shop.use_cases.run_jobs()) == []
    assert await waiting(shop) == 1
    actions = [entry.action for entry in shop.store.audit]
    assert actions == ["bulk_operation.started", "bulk_operation.stopped"]


async def test_who_may_replay_can_not_discard_in_bulk(shop: Shop) -> None:
    by = Principal("operator", scopes=frozenset({Scope.DEAD_LETTERS_REPLAY}))
    wanted = BulkRequest(act="discard", only=CauseFilter(), reason="all of it")
    for call in (shop.use_cases.start_bulk, shop.use_cases.measure_bulk):
        with pytest.raises(Forbidden, match="dead_letters:discard"):
            await call(by, wanted)
    assert shop.store.jobs == {}
