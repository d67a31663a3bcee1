from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final

from attrs import frozen

from application.access.audit import caller_of
from application.access.principal import Principal
from application.jobs.kinds import JobNeeds, scopes_of
from application.jobs.look_up import unknown_job
from application.ports.audit import AuditEntry
from application.ports.persistence import UnitOfWork
from domain.ids import JobId
from domain.jobs.job import Job, JobStatus

# A worker that has it would go on beside the next one, until it learns that the job was taken away.
_BEING_TRIED: Final = frozenset({JobStatus.AVAILABLE, JobStatus.EXECUTING})


@frozen
class RetryJob:
    """Try a job again at once. One that waits for a worker already, or is in progress, stays as it is.

    Raise `UnknownJob`, `Forbidden` without the scopes that starting it needs, or `IllegalTransition` for one that has
    been done, or is for a later time.
    """

    _unit_of_work: UnitOfWork
    _needs: Mapping[str, JobNeeds]

    async def __call__(self, by: Principal, id_: JobId) -> Job:
        return await _Change(self._unit_of_work, self._needs, by, "job.retried", _BEING_TRIED)(
            id_, lambda job, at: job.retry(at=at)
        )


@frozen
class CancelJob:
    """Cancel a job that has not ended. One that is in progress is interrupted within seconds; what it did stays done.

    A cancelled one stays as it is. Raise `UnknownJob`, `Forbidden` without the scopes that starting it needs, or
    `IllegalTransition` for one that has ended otherwise.
    """

    _unit_of_work: UnitOfWork
    _needs: Mapping[str, JobNeeds]

    async def __call__(self, by: Principal, id_: JobId) -> Job:
        return await _Change(self._unit_of_work, self._needs, by, "job.cancelled", {JobStatus.CANCELLED})(
            id_, lambda job, at: job.cancel(at=at)
        )


@frozen
class _Change:
    """A change that a person makes, and its entry in the audit. What is as wanted already stays so, and has none."""

    _unit_of_work: UnitOfWork
    _needs: Mapping[str, JobNeeds]
    _by: Principal
    _action: str
    _wanted: Collection[JobStatus]

    async def __call__(self, id_: JobId, change: Callable[[Job, datetime], None]) -> Job:
        async with self._unit_of_work() as tx:
            job = (await tx.jobs.get_many({id_}, lock=True)).get(id_)
            if job is None:
                raise unknown_job(id_)
            for scope in scopes_of(job, self._needs):
                self._by.expect(scope)
            if job.status not in self._wanted:
                before, at = _shown(job), await tx.jobs.now()
                change(job, at)
                await tx.jobs.save_many([job])
                entry = AuditEntry(
                    at=at,
                    by=caller_of(self._by),
                    action=self._action,
                    subject=f"job {job.id}",
                    before=before,
                    after=_shown(job),
                )
                await tx.audit.add_many([entry])
        return job


def _shown(job: Job) -> dict[str, Any]:
    return {"kind": job.kind, "status": job.status.value, "attempts": job.attempts}
