"""What becomes of a job: whatever its handler does, and whatever becomes of its worker."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

import pytest
from attrs import define, field
from uuid_utils.compat import uuid7

from application.access.principal import SYSTEM, Forbidden, Principal
from application.access.scopes import ALL_SCOPES, Scope
from application.assembly.jobs import JOB_NEEDS
from application.errors import Aborted, OutcomeUnknown, Trouble, Unavailable
from application.jobs import run_jobs as module
from application.jobs.change_job import CancelJob, RetryJob
from application.jobs.kinds import (
    BULK,
    CHANGE_ORDER,
    EXPORT,
    IMPORT,
    MESSAGE,
    RECONCILE,
    RECOVER_WEBHOOKS,
    SEED_ORDERS,
    AttemptEnded,
    Progress,
)
from application.jobs.remove_old import RemoveJobs
from application.jobs.run_jobs import Ended, JobAttempt, RunJobs
from application.orders.change_jobs import CANCEL, PAY, REFUND
from application.reconciliation.runs import REPAIR_NEEDS
from domain.errors import DomainError, IllegalTransition
from domain.ids import JobId
from domain.jobs.job import FINISHED, LEASE, LONGEST_DELAY, MAX_FAILURES, NEXT, Job, JobStatus, UnknownJob, new_job
from tests.unit.shop import Shop
from tests.unit.unsteady import Trouble as Fails
from tests.unit.unsteady import UnsteadyUnitOfWork

SECOND: Final = timedelta(seconds=1)


@define(eq=False)
class Handler:
    """Does what the test says next: raise, hang, or end with a result."""

    outcomes: list[Any] = field(factory=list)
    begun: asyncio.Event = field(factory=asyncio.Event)
    goes_on: asyncio.Event = field(factory=asyncio.Event)
    seen: list[JobId] = field(factory=list)

    async def __call__(self, job: Job, progress: Progress, /) -> Mapping[str, Any] | None:
        self.seen.append(job.id)
        self.begun.set()
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        if outcome == "hang":
            progress.done, progress.total = 3, 9
            await self.goes_on.wait()
            return None
        return outcome


@define(eq=False)
class Jobs:
    shop: Shop = field(factory=Shop)
    handler: Handler = field(factory=Handler)
    # Of the short kind.
    changes: Handler = field(factory=Handler)
    worker: RunJobs = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.worker = self.another_worker()

    def another_worker(self) -> RunJobs:
        return RunJobs(self.shop.unit_of_work, {"test": self.handler, CHANGE_ORDER: self.changes})

    async def add(self, *, kind: str = "test", arguments: Mapping[str, Any] = MappingProxyType({})) -> Job:
        job = new_job(id=JobId(uuid7()), kind=kind, arguments=arguments, now=self.shop.clock())
        async with self.shop.unit_of_work() as tx:
            await tx.jobs.add_many([job])
        return job

    async def now(self, job: Job) -> Job:
        async with self.shop.unit_of_work.reading() as tx:
            return (await tx.jobs.get_many({job.id}))[job.id]

    async def run(self, worker: RunJobs | None = None) -> list[Ended]:
        """Until nothing is in progress or due."""
        worker, ended = worker or self.worker, []
        async with asyncio.timeout(30):
            while (found := await worker()) or not worker.is_idle:
                ended += found
        return ended


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


async def test_a_job_that_was_done_is_completed_with_its_result(jobs: Jobs) -> None:
    jobs.handler.outcomes = [{"rows": 7}]
    job = await jobs.add()
    [ended] = await jobs.run()
    done = await jobs.now(job)
    assert (done.status, done.attempts, done.result) == (JobStatus.COMPLETED, 1, {"rows": 7})
    assert (ended.job, ended.error) == (done, None)
    assert await jobs.run() == []


async def test_a_job_that_fails_is_retried_with_growing_delays_and_discarded_at_last(jobs: Jobs) -> None:
    jobs.handler.outcomes = [ValueError(f"no {number}\0") for number in range(MAX_FAILURES)]
    job = await jobs.add()
    delays = []
    for failures in range(1, MAX_FAILURES):
        await jobs.run()
        failed = await jobs.now(job)
        assert (failed.status, failed.failures) == (JobStatus.RETRYABLE, failures)
        assert failed.error == f"ValueError: no {failures - 1}\N{REPLACEMENT CHARACTER}"
        delays.append(failed.available_at - jobs.shop.clock())
        jobs.shop.clock.forward(delays[-1] - SECOND)
        assert await jobs.run() == []
        jobs.shop.clock.forward(SECOND)
    assert delays == sorted(set(delays))
    await jobs.run()
    assert (await jobs.now(job)).status is JobStatus.DISCARDED
    jobs.shop.clock.forward(timedelta(days=1))
    assert await jobs.run() == []


async def test_a_job_that_the_rules_refuse_is_discarded_at_once(jobs: Jobs) -> None:
    jobs.handler.outcomes = [DomainError("never")]
    job = await jobs.add()
    await jobs.run()
    refused = await jobs.now(job)
    assert (refused.status, refused.error, refused.attempts) == (JobStatus.DISCARDED, "refused: never", 1)


async def test_a_server_that_is_away_is_never_the_fault_of_the_job(jobs: Jobs) -> None:
    times = 3 * MAX_FAILURES
    jobs.handler.outcomes = [Unavailable("away") for _ in range(times)]
    job = await jobs.add()
    for _ in range(times):
        assert len(await jobs.run()) == 1
        assert (await jobs.now(job)).status is JobStatus.RETRYABLE
        jobs.shop.clock.forward(LONGEST_DELAY)
    await jobs.run()
    done = await jobs.now(job)
    assert (done.status, done.failures, done.error) == (JobStatus.COMPLETED, 0, None)


async def test_a_kind_that_this_release_does_not_know_waits_for_one_that_does(jobs: Jobs) -> None:
    job = await jobs.add(kind="new")
    await jobs.run()
    waiting = await jobs.now(job)
    assert (waiting.status, waiting.failures) == (JobStatus.RETRYABLE, 0)
    assert "'new'" in str(waiting.error)


async def test_a_job_whose_worker_is_gone_is_taken_over_when_its_lease_has_ended(jobs: Jobs) -> None:
    jobs.handler.outcomes = ["hang"]
    job = await jobs.add()
    lost = asyncio.create_task(jobs.worker())
    await jobs.handler.begun.wait()
    jobs.shop.clock.forward(LEASE - SECOND)
    assert await jobs.run(jobs.another_worker()) == []
    jobs.shop.clock.forward(SECOND)
    [ended] = await jobs.run(jobs.another_worker())
    assert (ended.id, (await jobs.now(job)).attempts) == (job.id, 2)
    # The first one comes back, and changes nothing any more.
    before = await jobs.now(job)
    jobs.handler.goes_on.set()
    assert [each.job for each in [*await lost, *await jobs.run()]] == [None]
    assert await jobs.now(job) == before


@define(eq=False)
class CutOff:
    """A worker with a job in progress, and a connection of its own to the database."""

    jobs: Jobs
    handler: Handler = field(factory=lambda: Handler(outcomes=["hang"] * 8))
    database: UnsteadyUnitOfWork = field(init=False)
    worker: RunJobs = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.database = UnsteadyUnitOfWork(self.jobs.shop.unit_of_work)
        self.worker = RunJobs(self.database, {"test": self.handler})

    async def begin(self) -> None:
        assert await self.worker() == []
        assert self.handler.begun.is_set()

    async def lose_the_lease(self, *, ends_meanwhile: bool) -> None:
        self.database.gone, before = True, self.database.missed
        if ends_meanwhile:
            self.handler.goes_on.set()
        async with asyncio.timeout(30):
            while self.database.missed == before:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.001)
        self.jobs.shop.clock.forward(LEASE)

    async def come_back(self) -> Ended:
        # The first attempt to tell of it fails as well.
        self.database.to_come.append(Fails(Aborted("a deadlock")))
        self.database.gone = False
        async with asyncio.timeout(30):
            while self.database.to_come:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.001)
        [ended] = await self.jobs.run(self.worker)
        return ended


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RENEW_EVERY", 0.01)
    monkeypatch.setattr(module, "_MOMENT", 0.01)


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("ends_meanwhile", [True, False])
async def test_an_outage_that_is_longer_than_a_lease_is_never_the_fault_of_the_job(
    jobs: Jobs, *, ends_meanwhile: bool
) -> None:
    """Nobody could renew the lease. So another worker takes the job over, which is cut off in its turn."""
    job, earlier = await jobs.add(), CutOff(jobs)
    await earlier.begin()
    for number in range(2 * MAX_FAILURES):
        await earlier.lose_the_lease(ends_meanwhile=ends_meanwhile)
        later = CutOff(jobs)
        await later.begin()
        taken = await jobs.now(job)
        assert (taken.attempts, taken.failures) == (number + 2, 1)
        assert (await earlier.come_back()).job is None
        assert (await jobs.now(job)).failures == 0
        earlier = later
    earlier.handler.goes_on.set()
    [ended] = await jobs.run(earlier.worker)
    assert ended.job is not None
    assert (ended.job.status, ended.job.failures) == (JobStatus.COMPLETED, 0)


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("ends_meanwhile", [True, False])
async def test_a_job_that_was_discarded_for_an_outage_goes_on_after_it(jobs: Jobs, *, ends_meanwhile: bool) -> None:
    jobs.handler.outcomes = [ValueError("no") for _ in range(MAX_FAILURES - 1)]
    job = await jobs.add()
    for _ in range(MAX_FAILURES - 1):
        await jobs.run()
        jobs.shop.clock.forward(LONGEST_DELAY)
    last = CutOff(jobs)
    await last.begin()
    await last.lose_the_lease(ends_meanwhile=ends_meanwhile)
    assert await jobs.run() == []
    assert (await jobs.now(job)).status is JobStatus.DISCARDED
    back = asyncio.create_task(last.come_back())
    async with asyncio.timeout(30):
        while (await jobs.now(job)).status is JobStatus.DISCARDED:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)
    last.handler.goes_on.set()
    await back
    done = await jobs.now(job)
    assert (done.status, done.attempts, done.failures) == (JobStatus.COMPLETED, MAX_FAILURES, MAX_FAILURES - 1)
    assert last.handler.seen == [job.id]


@pytest.mark.usefixtures("fast")
async def test_an_attempt_that_was_followed_by_another_undoes_a_discard_as_well(jobs: Jobs) -> None:
    jobs.handler.outcomes = [ValueError("no") for _ in range(MAX_FAILURES - 2)]
    job, first, second = await jobs.add(), CutOff(jobs), CutOff(jobs)
    for _ in range(MAX_FAILURES - 2):
        await jobs.run()
        jobs.shop.clock.forward(LONGEST_DELAY)
    for each in (first, second):
        await each.begin()
        await each.lose_the_lease(ends_meanwhile=False)
    assert await jobs.run() == []
    assert (await jobs.now(job)).status is JobStatus.DISCARDED
    first.database.gone = False
    async with asyncio.timeout(30):
        while (await jobs.now(job)).status is JobStatus.DISCARDED:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)
    assert (await jobs.now(job)).status is JobStatus.AVAILABLE
    await jobs.run()
    for each in (first, second):
        await each.worker.stop()
    assert (await jobs.now(job)).status is JobStatus.COMPLETED


async def test_a_job_that_holds_up_its_worker_for_longer_than_a_lease_is_discarded(jobs: Jobs) -> None:
    """No renewal comes in time, although the database is there."""
    job = await jobs.add()
    workers = [CutOff(jobs) for _ in range(MAX_FAILURES)]
    for each in workers:
        await each.begin()
        jobs.shop.clock.forward(LEASE)
    for each in workers[:-1]:
        each.handler.goes_on.set()
        assert [ended.job for ended in await each.worker()] == [None]
    assert (await jobs.now(job)).failures == MAX_FAILURES - 1
    assert await jobs.run() == []
    workers[-1].handler.goes_on.set()
    assert [ended.job for ended in await workers[-1].worker()] == [None]
    assert (await jobs.now(job)).status is JobStatus.DISCARDED


@pytest.mark.usefixtures("fast")
async def test_a_job_that_holds_up_its_worker_some_time_after_an_outage_has_failed(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, worker = await jobs.add(), CutOff(jobs)
    await worker.begin()
    jobs.shop.clock.forward(-LEASE)
    await worker.lose_the_lease(ends_meanwhile=False)
    # The next renewal is made, and it is the last one that comes in time.
    monkeypatch.setattr(module, "_RENEW_EVERY", 60)
    jobs.shop.clock.forward(SECOND)
    worker.database.gone = False
    async with asyncio.timeout(30):
        while (await jobs.now(job)).leased_until != jobs.shop.clock() + LEASE:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.001)
    jobs.shop.clock.forward(LEASE)
    other = CutOff(jobs)
    await other.begin()
    worker.handler.goes_on.set()
    assert [ended.job for ended in await jobs.run(worker.worker)] == [None]
    assert (await jobs.now(job)).failures == 1
    await other.worker.stop()


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("lease_ends", [True, False])
async def test_a_beginning_that_the_database_did_not_answer_is_not_the_fault_of_the_job(
    jobs: Jobs, *, committed: bool, lease_ends: bool
) -> None:
    """Nobody works on such an attempt, so the worker gives it back, also after others had a go at it."""
    database = UnsteadyUnitOfWork(jobs.shop.unit_of_work)
    worker = RunJobs(database, {"test": jobs.handler})
    job = await jobs.add()
    for number in range(2 * MAX_FAILURES):
        database.to_come.append(Fails(OutcomeUnknown("no answer"), committed=committed))
        with pytest.raises(OutcomeUnknown):
            await (worker() if number % 2 else worker.run(job.id))
        if lease_ends:
            jobs.shop.clock.forward(LEASE)
        assert (await jobs.now(job)).failures == 0
    assert jobs.handler.seen == []
    await jobs.run(worker)
    done = await jobs.now(job)
    assert (done.status, done.failures, jobs.handler.seen) == (JobStatus.COMPLETED, 0, [job.id])


async def test_what_another_worker_began_is_not_given_back_with_a_beginning_that_was_rolled_back(jobs: Jobs) -> None:
    """Both attempts have the same number."""
    database = UnsteadyUnitOfWork(jobs.shop.unit_of_work)
    worker, other = RunJobs(database, {"test": jobs.handler}), CutOff(jobs)
    job = await jobs.add()
    database.to_come.append(Fails(OutcomeUnknown("no answer")))
    with pytest.raises(OutcomeUnknown):
        await worker()
    jobs.shop.clock.forward(SECOND)
    await other.begin()
    assert await worker() == []
    other.handler.goes_on.set()
    [ended] = await jobs.run(other.worker)
    assert (ended.id, (await jobs.now(job)).status, jobs.handler.seen) == (job.id, JobStatus.COMPLETED, [])


async def test_a_job_that_another_worker_took_over_after_such_a_beginning_has_not_failed(jobs: Jobs) -> None:
    database = UnsteadyUnitOfWork(jobs.shop.unit_of_work)
    worker, other = RunJobs(database, {"test": jobs.handler}), CutOff(jobs)
    job = await jobs.add()
    database.to_come.append(Fails(OutcomeUnknown("no answer"), committed=True))
    with pytest.raises(OutcomeUnknown):
        await worker()
    jobs.shop.clock.forward(LEASE)
    await other.begin()
    assert (await jobs.now(job)).failures == 1
    await worker()
    assert (await jobs.now(job)).failures == 0
    await other.worker.stop()


async def test_a_worker_does_not_begin_a_second_time_what_it_has_in_hand(jobs: Jobs) -> None:
    """After an outage, leases are over that were not renewed yet. What else is due is begun."""
    jobs.handler.outcomes = ["hang"] * 6
    old = [await jobs.add() for _ in range(5)]
    assert await jobs.worker() == []
    jobs.shop.clock.forward(LEASE)
    new = await jobs.add()
    assert await jobs.worker() == []
    assert jobs.handler.seen == [job.id for job in [*old, new]]
    jobs.handler.goes_on.set()
    await jobs.run()
    done = [await jobs.now(job) for job in [*old, new]]
    assert {(job.status, job.attempts, job.failures) for job in done} == {(JobStatus.COMPLETED, 1, 0)}


async def test_what_was_done_in_an_outage_that_is_longer_than_a_lease_is_not_done_again(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOMENT", 0.01)
    database, job = jobs.shop.unsteady, await jobs.add()
    jobs.handler.outcomes = ["hang"]
    worker = RunJobs(database, {"test": jobs.handler})
    step = asyncio.create_task(worker())
    await jobs.handler.begun.wait()
    database.gone = True
    jobs.handler.goes_on.set()
    await step
    jobs.shop.clock.forward(10 * LEASE)
    for _ in range(100):
        with pytest.raises(Unavailable):
            await worker()
        await asyncio.sleep(0)
    database.gone = False
    async with asyncio.timeout(30):
        while (await jobs.now(job)).status is JobStatus.EXECUTING:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
    assert ((await jobs.now(job)).status, jobs.handler.seen) == (JobStatus.COMPLETED, [job.id])


async def test_a_job_that_kills_its_workers_is_discarded(jobs: Jobs) -> None:
    job = await jobs.add()
    for _ in range(MAX_FAILURES):
        async with jobs.shop.unit_of_work() as tx:
            [due] = (await tx.jobs.due(jobs.shop.clock(), since=None, limit=1)).jobs
            due.begin(at=jobs.shop.clock())
            await tx.jobs.save_many([due])
        jobs.shop.clock.forward(LEASE)
    assert await jobs.run() == []
    dead = await jobs.now(job)
    assert (dead.status, dead.attempts, jobs.handler.seen) == (JobStatus.DISCARDED, MAX_FAILURES, [])


async def test_a_worker_that_stops_gives_its_jobs_to_the_others(jobs: Jobs) -> None:
    jobs.handler.outcomes = ["hang"]
    job = await jobs.add()
    step = asyncio.create_task(jobs.worker())
    await jobs.handler.begun.wait()
    await jobs.worker.stop()
    await step
    assert (await jobs.now(job)).status is JobStatus.AVAILABLE
    await jobs.run(jobs.another_worker())
    assert (await jobs.now(job)).status is JobStatus.COMPLETED


async def test_a_job_in_progress_renews_its_lease_tells_how_far_it_is_and_can_be_cancelled(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RENEW_EVERY", 0.01)
    jobs.handler.outcomes = ["hang"]
    job = await jobs.add()
    running = asyncio.create_task(jobs.run())
    await jobs.handler.begun.wait()
    jobs.shop.clock.forward(LEASE / 2)
    async with asyncio.timeout(30):
        while (seen := await jobs.now(job)).leased_until != jobs.shop.clock() + LEASE or not seen.done:  # noqa: ASYNC110 - nothing tells of a renewal
            await asyncio.sleep(0.01)
    assert (seen.done, seen.total) == (3, 9)

    assert (await CancelJob(jobs.shop.unit_of_work, JOB_NEEDS)(SYSTEM, job.id)).status is JobStatus.CANCELLED
    async with asyncio.timeout(30):
        await running
    assert (await jobs.now(job)).status is JobStatus.CANCELLED
    again = await CancelJob(jobs.shop.unit_of_work, JOB_NEEDS)(SYSTEM, job.id)
    assert again.status is JobStatus.CANCELLED


async def test_an_attempt_that_notices_that_its_job_was_taken_away_has_not_failed(jobs: Jobs) -> None:
    jobs.handler.outcomes = [AttemptEnded("it was cancelled")]
    await jobs.add()
    [ended] = await jobs.run()
    assert (ended.job, ended.error) == (None, None)


async def test_a_job_that_was_discarded_can_be_tried_again_and_one_that_was_done_can_not(jobs: Jobs) -> None:
    jobs.handler.outcomes = [DomainError("never")]
    retry, job = RetryJob(jobs.shop.unit_of_work, JOB_NEEDS), await jobs.add()
    await jobs.run()
    assert (await retry(SYSTEM, job.id)).status is JobStatus.AVAILABLE
    await jobs.run()
    assert (await jobs.now(job)).status is JobStatus.COMPLETED
    with pytest.raises(IllegalTransition, match="COMPLETED"):
        await retry(SYSTEM, job.id)
    with pytest.raises(UnknownJob):
        await retry(SYSTEM, JobId(uuid7()))


async def test_a_job_in_progress_is_not_taken_from_its_worker_by_who_asks_for_it_again(jobs: Jobs) -> None:
    """The first answer may have been lost, and a worker was quick."""
    jobs.handler.outcomes = [DomainError("never"), "hang"]
    retry, job = RetryJob(jobs.shop.unit_of_work, JOB_NEEDS), await jobs.add()
    await jobs.run()
    await retry(SYSTEM, job.id)
    jobs.handler.begun.clear()
    working = asyncio.create_task(jobs.worker())
    await jobs.handler.begun.wait()
    assert (await retry(SYSTEM, job.id)).status is JobStatus.EXECUTING
    assert await jobs.another_worker()() == []
    jobs.handler.goes_on.set()
    await working
    await jobs.run()
    assert ((await jobs.now(job)).status, jobs.handler.seen) == (JobStatus.COMPLETED, [job.id] * 2)
    assert [entry.action for entry in jobs.shop.store.audit] == ["job.retried"]


async def test_whoever_retries_or_cancels_a_job_is_in_the_audit_and_only_for_what_was_changed(jobs: Jobs) -> None:
    ana = Principal("ana", scopes=ALL_SCOPES)
    jobs.handler.outcomes = [DomainError("never")]
    retry, cancel = RetryJob(jobs.shop.unit_of_work, JOB_NEEDS), CancelJob(jobs.shop.unit_of_work, JOB_NEEDS)
    job = await jobs.add()
    await jobs.run()
    for change in (retry, retry, cancel, cancel):
        await change(ana, job.id)
    with pytest.raises(UnknownJob):
        await retry(ana, JobId(uuid7()))

    retried, cancelled = jobs.shop.store.audit
    assert (retried.by.key_id, retried.action, retried.subject) == ("ana", "job.retried", f"job {job.id}")
    assert (cancelled.by.key_id, cancelled.action, cancelled.subject) == ("ana", "job.cancelled", f"job {job.id}")
    statuses = [(entry.before["status"], entry.after["status"]) for entry in (retried, cancelled)]
    assert statuses == [("DISCARDED", "AVAILABLE"), ("AVAILABLE", "CANCELLED")]


@pytest.mark.parametrize(
    ("kind", "arguments", "scopes"),
    [
        (MESSAGE, {}, {Scope.ORDERS_WRITE}),
        (SEED_ORDERS, {}, {Scope.ADMIN}),
        (EXPORT, {"what": "orders"}, {Scope.ORDERS_READ}),
        (EXPORT, {"what": "events"}, {Scope.EVENTS_READ}),
        (IMPORT, {"what": "stock"}, {Scope.STOCK_ADJUST}),
        (CHANGE_ORDER, {"change": PAY}, {Scope.PAYMENTS_WRITE}),
        (CHANGE_ORDER, {"change": REFUND}, {Scope.REFUNDS_WRITE}),
        (CHANGE_ORDER, {"change": CANCEL}, {Scope.ORDERS_WRITE}),
        (BULK, {"act": "replay"}, {Scope.DEAD_LETTERS_REPLAY}),
        (BULK, {"act": "discard"}, {Scope.DEAD_LETTERS_DISCARD}),
        (RECOVER_WEBHOOKS, {}, {Scope.WEBHOOKS_WRITE}),
        (RECONCILE, {"repairs": False}, {Scope.RECONCILE}),
        (RECONCILE, {"repairs": True}, set(REPAIR_NEEDS)),
        ("of a later release", {}, {Scope.ADMIN}),
    ],
)
async def test_a_job_is_retried_and_cancelled_by_who_may_start_it_alone(
    jobs: Jobs, kind: str, arguments: dict[str, Any], scopes: set[Scope]
) -> None:
    job = await jobs.add(kind=kind, arguments=arguments)
    for change in (CancelJob(jobs.shop.unit_of_work, JOB_NEEDS), RetryJob(jobs.shop.unit_of_work, JOB_NEEDS)):
        before = await jobs.now(job)
        for scope in scopes:
            with pytest.raises(Forbidden, match=scope):
                await change(Principal("till", scopes=ALL_SCOPES - {scope}), job.id)
        assert await jobs.now(job) == before
        assert (await change(Principal("ana", scopes=frozenset(scopes)), job.id)).status is not before.status


async def test_each_kind_of_job_says_who_may_start_it(jobs: Jobs) -> None:
    assert JOB_NEEDS.keys() == jobs.shop.use_cases.run_jobs.handlers.keys()


async def test_a_result_is_recorded_although_the_database_is_away_for_a_moment(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOMENT", 0.01)
    away: list[Trouble] = [Unavailable("away"), Unavailable("away")]

    class Steady(RunJobs):
        async def _change(self, attempt: JobAttempt, change: Any) -> Job | None:
            if away:
                raise away.pop()
            return await super()._change(attempt, change)

    job = await jobs.add()
    [ended] = await jobs.run(Steady(jobs.shop.unit_of_work, {"test": jobs.handler}))
    assert ended.error is None
    assert (await jobs.now(job)).status is JobStatus.COMPLETED


async def test_only_what_ended_long_ago_is_removed(jobs: Jobs) -> None:
    remove = RemoveJobs(jobs.shop.unit_of_work, timedelta(days=1))
    old, waiting = await jobs.add(), await jobs.add(kind="new")
    await jobs.run()
    jobs.shop.clock.forward(timedelta(days=1))
    assert await remove() == 0
    jobs.shop.clock.forward(SECOND)
    assert await remove() == 1
    assert (await jobs.now(waiting)).status is JobStatus.RETRYABLE
    with pytest.raises(KeyError):
        await jobs.now(old)


def test_every_status_has_its_place_in_the_life_of_a_job() -> None:
    assert NEXT.keys() == set(JobStatus)
    assert {status for status in JobStatus if JobStatus.EXECUTING not in NEXT[status]} == FINISHED


async def test_a_change_that_was_promised_is_made_while_all_else_takes_long(jobs: Jobs) -> None:
    """Many exports are due before it, and none of them ends."""
    jobs.handler.outcomes = ["hang"] * 20
    exports = [await jobs.add() for _ in range(20)]
    jobs.shop.clock.forward(600 * SECOND)
    change = await jobs.add(kind=CHANGE_ORDER)
    ended: list[Ended] = []
    async with asyncio.timeout(60):
        while not ended:
            ended += await jobs.worker()
    assert [each.id for each in ended] == [change.id]
    # The places that are left are not for them.
    assert len(jobs.handler.seen) == 6
    jobs.handler.outcomes = []
    jobs.handler.goes_on.set()
    await jobs.run()
    assert {(await jobs.now(each)).status for each in [*exports, change]} == {JobStatus.COMPLETED}


async def test_a_change_that_was_promised_is_made_after_the_clock_was_set_back(jobs: Jobs) -> None:
    jobs.handler.outcomes = ["hang"] * 6
    for _ in range(6):
        await jobs.add()
    assert await jobs.worker() == []
    jobs.shop.clock.forward(-3600 * SECOND)
    change = await jobs.add(kind=CHANGE_ORDER)
    ended: list[Ended] = []
    async with asyncio.timeout(60):
        while not ended:
            ended += await jobs.worker()
    assert [each.id for each in ended] == [change.id]
    await jobs.worker.stop()


async def test_a_change_that_came_to_stand_behind_earlier_looks_is_made_while_all_else_takes_long(jobs: Jobs) -> None:
    jobs.handler.outcomes = ["hang"] * 6
    for _ in range(6):
        await jobs.add()
    for _ in range(2):
        assert await jobs.worker() == []
    jobs.shop.clock.forward(-600 * SECOND)
    change = await jobs.add(kind=CHANGE_ORDER)
    jobs.shop.clock.forward(700 * SECOND)
    ended: list[Ended] = []
    async with asyncio.timeout(60):
        while not ended:
            ended += await jobs.worker()
    assert [each.id for each in ended] == [change.id]
    await jobs.worker.stop()


async def test_a_long_backlog_is_done_without_waiting_for_a_look_at_all(jobs: Jobs) -> None:
    added = [await jobs.add() for _ in range(20)]
    jobs.shop.clock.forward(600 * SECOND)
    await jobs.run()
    assert {(await jobs.now(each)).status for each in added} == {JobStatus.COMPLETED}


async def test_what_no_place_was_left_for_is_done_without_waiting_for_a_look_at_all(jobs: Jobs) -> None:
    jobs.handler.outcomes = ["hang"] * 5
    for _ in range(5):
        await jobs.add()
    assert await jobs.worker() == []
    jobs.shop.clock.forward(-600 * SECOND)
    old = [await jobs.add() for _ in range(3)]
    jobs.shop.clock.forward(700 * SECOND)
    await jobs.worker()
    jobs.handler.goes_on.set()
    await jobs.run()
    assert {(await jobs.now(each)).status for each in old} == {JobStatus.COMPLETED}


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_a_worker_with_few_places_does_jobs_of_every_kind(jobs: Jobs, limit: int) -> None:
    worker = RunJobs(jobs.shop.unit_of_work, {"test": jobs.handler, CHANGE_ORDER: jobs.changes}, limit=limit)
    added = [await jobs.add(kind=kind) for kind in ("test", CHANGE_ORDER, "test", CHANGE_ORDER)]
    await jobs.run(worker)
    assert {(await jobs.now(each)).status for each in added} == {JobStatus.COMPLETED}
