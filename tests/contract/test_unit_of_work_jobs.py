"""Jobs and messages: in memory, and on every database."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any, Final

import pytest
from attrs import evolve
from uuid_utils.compat import uuid7

from application.jobs.kinds import CHANGE_ORDER
from application.ports.jobs import DueJobs, place_of
from application.ports.persistence import UnitOfWork
from domain.ids import JobId, OrderId
from domain.jobs.job import LEASE, LONGEST_DELAY, Job, JobStatus, new_job
from domain.message import Message
from domain.moments import furthest
from tests.unit.builders import NOW

SECOND: Final = timedelta(seconds=1)
ORDER: Final = OrderId(uuid7())


def a_job(number: int = 0, **changes: Any) -> Job:
    """Later numbers are for later."""
    job = new_job(id=JobId(uuid7()), kind="message", arguments={"content": "ü"}, now=NOW + number * SECOND)
    return evolve(job, **changes)


async def keep(unit_of_work: UnitOfWork, *jobs: Job) -> None:
    async with unit_of_work() as tx:
        await tx.jobs.add_many(jobs)


async def due(unit_of_work: UnitOfWork, seconds: int = 0, *, limit: int = 100, **options: Any) -> list[Job]:
    async with unit_of_work() as tx:
        return (await tx.jobs.due(NOW + seconds * SECOND, **{"since": None, "limit": limit, **options})).jobs


async def get(unit_of_work: UnitOfWork, job: Job) -> Job | None:
    async with unit_of_work.reading() as tx:
        return (await tx.jobs.get_many({job.id})).get(job.id)


async def test_a_job_is_read_as_it_was_added_and_as_it_was_saved(unit_of_work: UnitOfWork) -> None:
    job = a_job(order_id=ORDER)
    await keep(unit_of_work, job)
    assert await get(unit_of_work, job) == job

    job.begin(at=NOW)
    job.renew(at=NOW + SECOND, done=2**40, total=2**41)
    async with unit_of_work() as tx:
        await tx.jobs.save_many([job])
    assert await get(unit_of_work, job) == job

    job.complete(at=NOW + 2 * SECOND, result={"rows": 7, "of": ["a", None]})
    async with unit_of_work() as tx:
        await tx.jobs.save_many([job])
    assert await get(unit_of_work, job) == job


async def test_the_changes_of_an_order_that_wait_are_found_in_their_sequence(unit_of_work: UnitOfWork) -> None:
    other = OrderId(uuid7())
    first, second, third = (a_job(number, kind=CHANGE_ORDER, order_id=ORDER) for number in range(3))
    ended = a_job(kind=CHANGE_ORDER, order_id=ORDER)
    await keep(unit_of_work, third, first, second, ended, a_job(order_id=ORDER))
    first.begin(at=NOW)
    ended.cancel(at=NOW)
    async with unit_of_work() as tx:
        await tx.jobs.save_many([first, ended])
    async with unit_of_work.reading() as tx:
        assert await tx.jobs.changes_of({ORDER, other}) == [first, second, third]
        assert await tx.jobs.changes_of({other}) == []
        assert await tx.jobs.changes_of(set()) == []


async def test_a_job_that_is_added_again_stays_as_it_is(unit_of_work: UnitOfWork) -> None:
    job, other = a_job(), a_job()
    await keep(unit_of_work, job)
    await keep(unit_of_work, evolve(job, arguments={"content": "another"}), other)
    assert await get(unit_of_work, job) == job
    assert await get(unit_of_work, other) == other


async def test_there_is_no_unknown_job(unit_of_work: UnitOfWork) -> None:
    assert await get(unit_of_work, a_job()) is None


def executing(until: timedelta) -> dict[str, Any]:
    return {"status": JobStatus.EXECUTING, "attempts": 1, "started_at": NOW, "leased_until": NOW + until}


def ended(status: JobStatus) -> dict[str, Any]:
    return {"status": status, "finished_at": NOW}


def later(status: JobStatus, delay: timedelta) -> dict[str, Any]:
    return {"status": status, "available_at": NOW + delay}


@pytest.mark.parametrize(
    ("changes", "is_due"),
    [
        ({}, True),
        (later(JobStatus.SCHEDULED, timedelta(0)), True),
        (later(JobStatus.SCHEDULED, SECOND), False),
        (later(JobStatus.SCHEDULED, timedelta(days=300)), False),
        (later(JobStatus.RETRYABLE, -SECOND), True),
        (later(JobStatus.RETRYABLE, SECOND), False),
        (later(JobStatus.RETRYABLE, LONGEST_DELAY), False),
        # It was put off after this worker had read the clock.
        (later(JobStatus.RETRYABLE, LONGEST_DELAY + SECOND), False),
        # A clock was wrong.
        (later(JobStatus.RETRYABLE, furthest(NOW, LONGEST_DELAY) - NOW + SECOND), True),
        (executing(SECOND), False),
        (executing(LEASE), False),
        (executing(timedelta(0)), True),
        (executing(LEASE + SECOND), False),
        (executing(furthest(NOW, LEASE) - NOW + SECOND), True),
        (ended(JobStatus.COMPLETED), False),
        (ended(JobStatus.CANCELLED), False),
        (ended(JobStatus.DISCARDED), False),
    ],
    ids=str,
)
async def test_a_job_is_due_when_its_time_has_come_or_its_worker_is_gone(
    unit_of_work: UnitOfWork, changes: dict[str, Any], *, is_due: bool
) -> None:
    job = a_job(**changes)
    await keep(unit_of_work, job)
    assert await due(unit_of_work) == ([job] if is_due else [])
    assert job.is_due(NOW) is is_due


async def test_the_longest_due_come_first_up_to_the_limit(unit_of_work: UnitOfWork) -> None:
    jobs = [a_job(number) for number in (3, 1, 2, 0)]
    await keep(unit_of_work, *jobs)
    assert await due(unit_of_work, 2, limit=2) == [jobs[3], jobs[1]]
    assert await due(unit_of_work, 2) == [jobs[3], jobs[1], jobs[2]]


async def test_a_look_tells_since_when_others_are_due_that_it_did_not_get(unit_of_work: UnitOfWork) -> None:
    await keep(unit_of_work, *(a_job(number) for number in range(4)))
    async with unit_of_work() as tx:
        for limit, others_since in ((1, 1), (3, 3), (4, 9), (5, 9)):
            due = await tx.jobs.due(NOW + 9 * SECOND, since=None, limit=limit)
            assert due.others_since <= NOW + others_since * SECOND
        assert due.others_since == NOW + 9 * SECOND


async def test_what_is_due_since_an_earlier_time_can_be_left_out(unit_of_work: UnitOfWork) -> None:
    early, late = a_job(0), a_job(5)
    lost_early, lost_late = a_job(0, **executing(SECOND)), a_job(0, **executing(5 * SECOND))
    await keep(unit_of_work, early, late, lost_early, lost_late)
    assert {job.id for job in await due(unit_of_work, 9, since=NOW + 5 * SECOND)} == {late.id, lost_late.id}


async def test_jobs_of_some_kinds_are_looked_for_alone(unit_of_work: UnitOfWork) -> None:
    added = [evolve(a_job(), kind=kind, order_id=ORDER) for kind in ("export", "message", "change_order", "import")]
    await keep(unit_of_work, *added)
    found = await due(unit_of_work, kinds={"message", "change_order"})
    assert {job.id for job in found} == {added[1].id, added[2].id}
    assert await due(unit_of_work, kinds={"message", "change_order"}, since=NOW + SECOND) == []
    assert await due(unit_of_work, kinds={"bulk"}) == []


async def test_workers_that_look_at_once_never_get_the_same_job(unit_of_work: UnitOfWork) -> None:
    jobs = [a_job(number) for number in range(30)]
    await keep(unit_of_work, *jobs)
    taken: Counter[JobId] = Counter()

    async def worker() -> None:
        idle = 0
        while idle < 3:
            async with unit_of_work() as tx:
                found = (await tx.jobs.due(NOW + 60 * SECOND, since=None, limit=4)).jobs
                for job in found:
                    job.begin(at=NOW + 60 * SECOND)
                await asyncio.sleep(0)
                await tx.jobs.save_many(found)
            taken.update(job.id for job in found)
            idle = 0 if found else idle + 1

    await asyncio.gather(*(worker() for _ in range(4)))
    assert taken == {job.id: 1 for job in jobs}


async def test_a_job_that_another_transaction_has_locked_is_not_waited_for(unit_of_work: UnitOfWork) -> None:
    first, second = a_job(0), a_job(1)
    await keep(unit_of_work, first, second)

    async def look() -> DueJobs:
        async with unit_of_work() as tx:
            return await tx.jobs.due(NOW + SECOND, since=None, limit=100)

    async with asyncio.timeout(30), unit_of_work() as tx:
        [locked] = (await tx.jobs.due(NOW, since=None, limit=1)).jobs
        other = asyncio.create_task(look())
        # A database with one writer makes the other wait; it must find what this one has left.
        await asyncio.wait([other], timeout=0.2)
        # It may be released yet.
        assert not other.done() or other.result().others_since <= first.available_at
        locked.begin(at=NOW)
        await tx.jobs.save_many([locked])
    found = await other
    assert [job.id for job in found.jobs] == [second.id]


@pytest.mark.parametrize(
    ("kind", "status", "expected"),
    [
        (None, None, [3, 2, 1, 0]),
        ("export", None, [2, 0]),
        (None, JobStatus.COMPLETED, [3, 2]),
        ("export", JobStatus.COMPLETED, [2]),
        ("import", None, []),
    ],
)
async def test_jobs_are_listed_newest_first(
    unit_of_work: UnitOfWork, kind: str | None, status: JobStatus | None, expected: list[int]
) -> None:
    jobs = [
        a_job(
            number,
            kind="export" if number % 2 == 0 else "message",
            **(ended(JobStatus.COMPLETED) if number > 1 else {}),
        )
        for number in range(4)
    ]
    await keep(unit_of_work, *jobs)
    async with unit_of_work.reading() as tx:
        page = await tx.jobs.page(kind=kind, status=status, before=None, limit=10)
        assert page == [jobs[number] for number in expected]
        counts = [await tx.jobs.count(kind=kind, status=status, most=most) for most in (1, 10)]
        assert counts == [min(len(page), 1), len(page)]
        for size in (1, 2):
            walked: list[Job] = []
            while part := await tx.jobs.page(
                kind=kind, status=status, before=place_of(walked[-1]) if walked else None, limit=size
            ):
                walked += part
            assert walked == page


async def test_the_list_of_jobs_goes_on_where_a_removed_one_stood(unit_of_work: UnitOfWork) -> None:
    jobs = [a_job(number, **(ended(JobStatus.COMPLETED) if number == 1 else {})) for number in range(3)]
    await keep(unit_of_work, *jobs)
    async with unit_of_work() as tx:
        assert await tx.jobs.remove_finished(NOW + timedelta(days=1), limit=9) == 1
    async with unit_of_work.reading() as tx:
        assert await tx.jobs.page(kind=None, status=None, before=place_of(jobs[1]), limit=9) == [jobs[0]]


async def test_what_ended_long_ago_is_removed_and_nothing_else(unit_of_work: UnitOfWork) -> None:
    old = [a_job(status=JobStatus.COMPLETED, finished_at=NOW - number * SECOND) for number in (1, 3, 2)]
    waiting, recent = a_job(available_at=NOW - 9 * SECOND), a_job(**ended(JobStatus.DISCARDED))
    await keep(unit_of_work, *old, waiting, recent)
    async with unit_of_work() as tx:
        assert await tx.jobs.remove_finished(NOW, limit=2) == 2
    assert [await get(unit_of_work, job) is None for job in old] == [False, True, True]
    async with unit_of_work() as tx:
        assert await tx.jobs.remove_finished(NOW, limit=2) == 1
        assert await tx.jobs.remove_finished(NOW, limit=2) == 0
    assert (await get(unit_of_work, waiting), await get(unit_of_work, recent)) == (waiting, recent)


async def test_a_job_that_is_retried_while_it_is_to_be_removed_stays(unit_of_work: UnitOfWork) -> None:
    job = a_job(status=JobStatus.DISCARDED, finished_at=NOW - SECOND)
    await keep(unit_of_work, job)

    async def remove() -> int:
        async with unit_of_work() as tx:
            return await tx.jobs.remove_finished(NOW, limit=9)

    async with asyncio.timeout(30), unit_of_work() as tx:
        retried = (await tx.jobs.get_many({job.id}, lock=True))[job.id]
        removing = asyncio.create_task(remove())
        # Where transactions work side by side it has found the job now, and waits for the lock.
        await asyncio.wait([removing], timeout=0.5)
        retried.retry(at=NOW)
        await tx.jobs.save_many([retried])
    assert await removing == 0
    assert await get(unit_of_work, job) == retried


async def test_the_clock_is_that_of_the_database(unit_of_work: UnitOfWork) -> None:
    async with unit_of_work() as tx:
        first = await tx.jobs.now()
    async with unit_of_work() as tx:
        assert first.tzinfo is not None
        assert await tx.jobs.now() >= first


async def test_messages_are_stored_once_and_listed_newest_first(unit_of_work: UnitOfWork) -> None:
    said = [
        Message(
            id=JobId(uuid7()),
            content=f"Ünïcode {number}\n",
            order_id=ORDER if number % 2 == 0 else None,
            created_at=NOW + number * SECOND,
        )
        for number in range(4)
    ]
    for _ in range(2):
        async with unit_of_work() as tx:
            await tx.messages.add_many(said)
    async with unit_of_work() as tx:
        await tx.messages.add_many([evolve(said[0], content="changed")])
    async with unit_of_work.reading() as tx:
        assert await tx.messages.page(order_id=None, before=None, limit=10) == said[::-1]
        assert await tx.messages.page(order_id=ORDER, before=None, limit=10) == [said[2], said[0]]
        assert await tx.messages.page(order_id=None, before=said[2].id, limit=1) == [said[1]]
        assert await tx.messages.page(order_id=ORDER, before=said[2].id, limit=9) == [said[0]]
        assert await tx.messages.page(order_id=OrderId(uuid7()), before=None, limit=9) == []
        assert await tx.messages.page(order_id=None, before=JobId(uuid7()), limit=9) == []
