import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from math import inf
from typing import Final

from attrs import define, field, frozen

from application.errors import OutcomeUnknown, Trouble
from application.execution.repeated_look import RepeatedLook
from application.jobs.kinds import SHORT_KINDS, AttemptEnded, JobHandler, Progress
from application.ports.persistence import UnitOfWork
from domain.errors import DomainError
from domain.ids import JobId
from domain.jobs.job import LEASE, Job, JobStatus

# Seconds between two renewals of a lease, and so between two notes of the progress.
_RENEW_EVERY: Final = LEASE.total_seconds() / 6
# Seconds that a step waits for the jobs in progress before it looks for more.
_MOMENT: Final = 1.0
# Between two looks at all jobs that are due: one may have been locked at the other looks.
_LOOK_AT_ALL: Final = timedelta(minutes=1)
# Seconds of an outage in which a person waits for what came of an attempt. A worker waits for the end of the outage.
_A_PERSON_WAITS: Final = 5.0
_LONGEST_ERROR: Final = 2000
# How many places of a worker no long job takes.
_KEPT_FOR_SHORT: Final = 2


@frozen
class Ended:
    """An attempt that has ended. Without a job, it was taken away: cancelled, or begun by another worker."""

    id: JobId
    kind: str
    job: Job | None
    error: Exception | None = None


@define(eq=False)
class JobAttempt:
    """One run of a job in this process. `job` is as it was when the attempt began."""

    job: Job
    progress: Progress = field(factory=Progress)
    # Whether the database was away at the last renewal, or when the end was to be recorded.
    is_cut_off: bool = False


@define(eq=False)
class RunJobs:
    """Claim jobs that are due, run them, and record what came of them.

    An attempt that has ended while the database is away is recorded when it is back. If another worker has begun the
    job by then, because the lease was over, that does not count as a failure of the job. Nor does an attempt of which
    nobody knows whether it has begun, since its commit was not answered: it is given back.

    `limit` is how many run at once. Exports and imports may take hours. They leave two places, or none if there is one
    alone, to jobs that are short.
    """

    _unit_of_work: UnitOfWork
    handlers: Mapping[str, JobHandler]
    _limit: int = field(default=8, kw_only=True)
    # With their jobs, in the sequence in which they began. A set would have another sequence in each process.
    _running: dict[asyncio.Task[Ended], Job] = field(factory=dict, init=False)
    # Attempts that may have begun, and that nobody works on.
    _doubtful: list[Job] = field(factory=list, init=False)
    # By the clock of the database. A look at short kinds alone sees nothing of the others.
    _look: RepeatedLook = field(factory=RepeatedLook, init=False)
    _look_for_short: RepeatedLook = field(factory=RepeatedLook, init=False)

    @property
    def is_idle(self) -> bool:
        return not self._running

    async def __call__(self) -> Sequence[Ended]:
        """Begin what is due, as far as there is room. Return the attempts that have ended. Raise `Trouble`."""
        await self._give_back()
        long = sum(job.kind not in SHORT_KINDS for job in self._running.values())
        room = self._limit - len(self._running)
        room_for_any = min(room, max(1, self._limit - _KEPT_FOR_SHORT) - long)
        claimed = await self._claim(room_for_any) if room_for_any > 0 else await self._claim(room, kinds=SHORT_KINDS)
        self._running |= {asyncio.create_task(self._run(job)): job for job in claimed}
        if self._running:
            await asyncio.wait(self._running, timeout=_MOMENT, return_when=asyncio.FIRST_COMPLETED)
        return self._take_ended()

    async def run(self, id_: JobId) -> Ended | None:
        """Begin this job now, and run it to the end of the attempt. None: it has ended, or a worker has it."""
        job: Job | None = None
        try:
            async with self._unit_of_work() as tx:
                job, now = (await tx.jobs.get_many({id_}, lock=True)).get(id_), await tx.jobs.now()
                if job is None or not job.is_due(now):
                    return None
                job.begin(at=now)
                await tx.jobs.save_many([job])
        except OutcomeUnknown:
            self._doubtful += [] if job is None else [job]
            with suppress(Trouble):
                await self._give_back()
            raise
        return await self._run(job, patience=_A_PERSON_WAITS) if job.status is JobStatus.EXECUTING else None

    async def stop(self) -> None:
        """Give the jobs in progress to other workers."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        self._running.clear()
        with suppress(Trouble):
            await self._give_back()

    async def _give_back(self) -> None:
        while self._doubtful:
            # As one that was cut off: its lease may have been over before it could be given back.
            await self._change(JobAttempt(self._doubtful[-1], is_cut_off=True), _released)
            self._doubtful.pop()

    async def _claim(self, room: int, *, kinds: Collection[str] | None = None) -> list[Job]:
        if room <= 0:
            return []
        look = self._look if kinds is None else self._look_for_short
        # After an outage, their leases may be over. They go on, and are not begun a second time.
        in_hand = {job.id for job in self._running.values()}
        found: list[Job] = []
        try:
            async with self._unit_of_work() as tx:
                now = await tx.jobs.now()
                since = look.begin(now, whole_every=_LOOK_AT_ALL)
                due = await tx.jobs.due(now, since=since, kinds=kinds, limit=room + len(in_hand))
                found = [job for job in due.jobs if job.id not in in_hand][:room]
                left = [job.available_at for job in due.jobs if job not in found]
                for job in found:
                    job.begin(at=now)
                await tx.jobs.save_many(found)
        except OutcomeUnknown:
            self._doubtful += found
            raise
        look.end(now, since, nothing_before=min([due.others_since, *left]))
        # A crash from here on is safe: the lease ends, and another worker takes the job.
        return [job for job in found if job.status is JobStatus.EXECUTING]

    async def _run(self, job: Job, *, patience: float = inf) -> Ended:
        attempt = JobAttempt(job)
        work = asyncio.create_task(self._work(attempt))
        renewing = asyncio.create_task(self._renew(attempt, work))
        try:
            change, error = await work
        except AttemptEnded:
            if not attempt.is_cut_off:
                return Ended(job.id, job.kind, None)
            # It lives, and its failure is taken back. What it left undone is for another attempt.
            change, error = _released, None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                return Ended(job.id, job.kind, None)
            await self._release(attempt)
            raise
        finally:
            renewing.cancel()
        return await self._record(attempt, partial(_ended, attempt.progress, change), error, patience)

    async def _work(self, attempt: JobAttempt) -> tuple[Callable[[Job, datetime], None], Exception | None]:
        """Return what the attempt does to the job."""
        job = attempt.job
        handler = self.handlers.get(job.kind)
        if handler is None:
            why = f"this release has no jobs of the kind {job.kind!r}"
            return lambda current, at: current.put_off(why, at=at, failures=current.attempts), None
        try:
            result = await handler(job, attempt.progress)
        except AttemptEnded:
            raise
        except DomainError as error:
            return partial(_discarded, error), error
        except Trouble as error:
            return partial(_put_off, error), error
        except Exception as error:  # noqa: BLE001 - any: it is recorded with the job, and told to the caller
            return partial(_failed, error), error
        return lambda current, at: current.complete(at=at, result=result), None

    async def _record(
        self, attempt: JobAttempt, change: Callable[[Job, datetime], None], error: Exception | None, patience: float
    ) -> Ended:
        id_, kind = attempt.job.id, attempt.job.kind
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while True:
            try:
                return Ended(id_, kind, await self._change(attempt, change), error)
            except Trouble as trouble:
                if loop.time() >= until:
                    return Ended(id_, kind, None, trouble)
                await asyncio.sleep(_MOMENT)

    async def _renew(self, attempt: JobAttempt, work: "asyncio.Task[object]") -> None:
        progress = attempt.progress
        while True:
            await asyncio.sleep(_RENEW_EVERY)
            try:
                still = await self._change(
                    attempt, lambda current, at: current.renew(at=at, done=progress.done, total=progress.total)
                )
            except Trouble:
                # The next renewal comes before the lease ends.
                continue
            if still is None:
                work.cancel()
                return

    async def _change(self, attempt: JobAttempt, change: Callable[[Job, datetime], None]) -> Job | None:
        """Change the job, if this attempt is still the one that goes on. Return it as it is then.

        An attempt that was cut off may have been taken over meanwhile. Its worker lives, so this was no failure. One
        that could have renewed its lease, and did not, has failed: it may have held up the whole worker.
        """
        try:
            async with self._unit_of_work() as tx:
                found = (await tx.jobs.get_many({attempt.job.id}, lock=True)).get(attempt.job.id)
                if found is None:
                    return None
                now = await tx.jobs.now()
                if attempt.is_cut_off:
                    found.take_back_failure(attempt.job.attempts, at=now)
                goes_on = found.is_in_hand(attempt.job)
                if goes_on:
                    change(found, now)
                if goes_on or attempt.is_cut_off:
                    await tx.jobs.save_many([found])
        except Trouble:
            attempt.is_cut_off = True
            raise
        attempt.is_cut_off = False
        return found if goes_on else None

    async def _release(self, attempt: JobAttempt) -> None:
        try:
            await self._change(attempt, _released)
        except Trouble:
            # The lease ends by itself.
            return

    def _take_ended(self) -> list[Ended]:
        done = [task for task in self._running if task.done()]
        for task in done:
            del self._running[task]
        return [task.result() for task in done if not task.cancelled()]


def _ended(progress: Progress, change: Callable[[Job, datetime], None], job: Job, at: datetime) -> None:
    job.done, job.total = progress.done, progress.total
    change(job, at)


def _released(job: Job, at: datetime) -> None:
    job.release(at=at)


def _discarded(error: Exception, job: Job, at: datetime) -> None:
    job.discard(_told(error), at=at)


def _put_off(error: Exception, job: Job, at: datetime) -> None:
    job.put_off(_told(error), at=at, failures=job.attempts)


def _failed(error: Exception, job: Job, at: datetime) -> None:
    job.fail(_told(error), at=at)


def _told(error: Exception) -> str:
    # A refusal is for the client, and has the code that it would get as an answer.
    kind = error.code if isinstance(error, DomainError) else type(error).__name__
    # A message may quote text that no database can store.
    told = f"{kind}: {error}".replace("\0", "\N{REPLACEMENT CHARACTER}")
    return told[:_LONGEST_ERROR].encode(errors="replace").decode()
