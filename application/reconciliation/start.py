"""The consistency check as a person starts it, and reads what it has found."""

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from application.access.audit import caller_of
from application.access.principal import Principal
from application.jobs.kinds import RECONCILE
from application.ports.audit import AuditEntry
from application.ports.broken import UNREADABLE, BrokenJob, of_arguments
from application.ports.environment import Clock, NewId
from application.ports.files import StoredFile
from application.ports.jobs import JobPlace
from application.ports.persistence import Transaction, UnitOfWork
from application.reconciliation.runs import (
    DISCREPANCIES,
    NothingToRepair,
    RunRequest,
    UnknownReconciliation,
    existing,
    expect_may_repair,
)
from domain.ids import JobId
from domain.jobs.job import Job, new_job


@frozen
class Reconciliation:
    """A run. `discrepancies` is the file with what it has found; None until it is done, or if it was removed."""

    job: Job
    request: RunRequest
    discrepancies: StoredFile | None

    @property
    def result(self) -> Mapping[str, Any] | None:
        """As `Result` has it. None until it is done."""
        return self.job.result


@frozen
class StartReconciliation:
    """Start a run. With `repair_all`, what it finds and is safe to repair is repaired at once. Raise `Forbidden`."""

    _unit_of_work: UnitOfWork
    _new_id: NewId
    _now: Clock

    async def __call__(self, by: Principal, *, repair_all: bool = False) -> Job:
        if repair_all:
            expect_may_repair(by)
        async with self._unit_of_work() as tx:
            return await _added(tx, self._new_id, self._now, by, RunRequest(by=caller_of(by), repairs=repair_all))


@frozen
class RepairDiscrepancies:
    """Start a run that repairs what another one has found. What has changed since, or is new, is left alone.

    Raise `UnknownReconciliation`, `NothingToRepair`, or `Forbidden`.
    """

    _unit_of_work: UnitOfWork
    _new_id: NewId
    _now: Clock

    async def __call__(self, by: Principal, id_: JobId) -> Job:
        expect_may_repair(by)
        async with self._unit_of_work() as tx:
            shown = await _run(tx, existing((await tx.jobs.get_many({id_})).get(id_), id_))
            if shown.result is None or not shown.result["repairable"]:
                raise NothingToRepair(f"run {id_} of the consistency check has nothing that is safe to repair")
            if shown.discrepancies is None:
                raise UnknownReconciliation(f"what run {id_} has found was removed: start another one")
            return await _added(tx, self._new_id, self._now, by, RunRequest(by=caller_of(by), repairs=True, of=id_))


@frozen
class ListReconciliations:
    """A page of runs, newest first."""

    _unit_of_work: UnitOfWork

    async def __call__(
        self, _: Principal, *, before: JobPlace | None = None, limit: int
    ) -> Sequence[Reconciliation | BrokenJob]:
        async with self._unit_of_work.reading() as tx:
            jobs = await tx.jobs.page(kind=RECONCILE, status=None, before=before, limit=limit)
            return [await _listed(tx, job) for job in jobs]


@frozen
class GetReconciliation:
    """Raise `UnknownReconciliation`."""

    _unit_of_work: UnitOfWork

    async def __call__(self, _: Principal, id_: JobId) -> Reconciliation:
        async with self._unit_of_work.reading() as tx:
            return await _run(tx, existing((await tx.jobs.get_many({id_})).get(id_), id_))


async def _run(tx: Transaction, job: Job) -> Reconciliation:
    return Reconciliation(job, RunRequest.in_job(job.arguments), await tx.files.get(job.id, DISCREPANCIES))


async def _listed(tx: Transaction, job: Job | BrokenJob) -> Reconciliation | BrokenJob:
    if isinstance(job, BrokenJob):
        return job
    try:
        return await _run(tx, job)
    except UNREADABLE as error:
        return of_arguments(job, error)


async def _added(tx: Transaction, new_id: NewId, now: Clock, by: Principal, wanted: RunRequest) -> Job:
    job = new_job(id=JobId(new_id()), kind=RECONCILE, arguments=wanted.arguments(), now=now())
    await tx.jobs.add_many([job])
    entry = AuditEntry(
        at=now(),
        by=caller_of(by),
        action="reconciliation.started",
        subject=f"reconciliation {job.id}",
        after={name: value for name, value in wanted.arguments().items() if name != "by"},
    )
    await tx.audit.add_many([entry])
    return job
