from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final

from attrs import evolve, frozen

from application.execution.working_for import WorkingFor
from application.jobs.kinds import Progress, hold
from application.ports.audit import AuditEntry
from application.ports.environment import Clock
from application.ports.files import StoredFile
from application.ports.persistence import UnitOfWork
from application.reconciliation.discrepancies import Discrepancy, counted, saw_everything
from application.reconciliation.runs import (
    DISCREPANCIES,
    FOUND,
    Finding,
    Result,
    RunRequest,
    UnknownReconciliation,
    findings_in,
    lines_of,
)
from domain.jobs.job import Job

# What is told of a discrepancy that an attempt has repaired whose worker was gone before it could tell of it.
GONE: Final = "it is no discrepancy any more"


@frozen
class RunReconciliation:
    """The job that runs the consistency check, and repairs what it was asked to.

    A check only reads, so another attempt begins it anew. A repair keeps what it has found before it begins: another
    attempt checks again, repairs what is still there of that, and so tells of all of it. What was found and done is
    written once, in one transaction with what the metrics show.
    """

    _unit_of_work: UnitOfWork
    _reconcile: Callable[[], Awaitable[Sequence[Discrepancy]]]
    _repair: Callable[[Sequence[Discrepancy]], Awaitable[Sequence[str | None]]]
    _now: Clock

    async def __call__(self, job: Job, progress: Progress, /) -> Mapping[str, Any]:
        wanted = RunRequest.in_job(job.arguments)
        async with self._unit_of_work.reading() as tx:
            done = await tx.files.get(job.id, DISCREPANCIES)
        if done is not None:
            # An attempt that was gone before this could be recorded.
            return done.state
        with WorkingFor([wanted.by.request_id] if wanted.by.request_id else []):
            found = await self._reconcile()
            progress.done = progress.total = len(found)
            if not wanted.repairs:
                return await self._end(job, wanted, [Finding.of(each) for each in found], found, repaired=0)
            return await self._repaired(job, wanted, found)

    async def _repaired(self, job: Job, wanted: RunRequest, found: Sequence[Discrepancy]) -> Mapping[str, Any]:
        listed = await self._listed(job, found)
        shown = {*listed} if wanted.of is None else {*listed} & await self._shown(wanted)
        chosen = [each for each in found if Finding.of(each) in shown]
        outcomes = dict(zip(map(Finding.of, chosen), await self._repair(chosen), strict=True))
        still = {Finding.of(each) for each in found}
        told = [_told(each, outcomes, still) for each in listed]
        left = [each for each in found if outcomes.get(Finding.of(each)) is None]
        return await self._end(job, wanted, told, left, repaired=sum(each.outcome is not None for each in told))

    async def _listed(self, job: Job, found: Sequence[Discrepancy]) -> list[Finding]:
        """Return what the first attempt has found, which this one is if nothing is kept yet."""
        async with self._unit_of_work() as tx:
            # Nothing is repaired after the run was cancelled.
            await hold(tx, job)
            if (file := await tx.files.get(job.id, FOUND)) is not None:
                return await findings_in(tx, file)
            listed = [Finding.of(each) for each in found]
            await tx.files.append(StoredFile(job_id=job.id, name=FOUND), lines_of(listed), {})
        return listed

    async def _shown(self, wanted: RunRequest) -> set[Finding]:
        """Return what the person has seen who asked for the repair."""
        async with self._unit_of_work.reading() as tx:
            file = None if wanted.of is None else await tx.files.get(wanted.of, DISCREPANCIES)
            if file is None:
                raise UnknownReconciliation(f"what run {wanted.of} has found was removed: start another one")
            return {each.as_found for each in await findings_in(tx, file) if each.outcome is None}

    async def _end(
        self, job: Job, wanted: RunRequest, told: Sequence[Finding], left: Sequence[Discrepancy], *, repaired: int
    ) -> Mapping[str, Any]:
        result = Result(
            found={**counted([]), **Counter(each.about for each in told)},
            left=counted(left),
            repairable=sum(each.remedy is not None for each in left),
            repaired=repaired,
            whole=saw_everything(left),
        ).as_json()
        async with self._unit_of_work() as tx:
            await hold(tx, job)
            await tx.files.append(StoredFile(job_id=job.id, name=DISCREPANCIES), lines_of(told), result)
            await tx.consistency_checks.note(counted(left), whole=saw_everything(left))
            if wanted.repairs:
                await tx.audit.add_many([_entry(job, wanted, self._now, repaired=repaired, left=len(left))])
        return result


def _told(finding: Finding, outcomes: Mapping[Finding, str | None], still: Collection[Finding]) -> Finding:
    is_gone = finding.remedy is not None and finding not in still
    return evolve(finding, outcome=GONE if is_gone else outcomes.get(finding))


def _entry(job: Job, wanted: RunRequest, now: Clock, *, repaired: int, left: int) -> AuditEntry:
    return AuditEntry(
        at=now(),
        by=wanted.by,
        action="reconciliation.repaired",
        subject=f"reconciliation {job.id}",
        after={"repaired": repaired, "left": left},
    )
