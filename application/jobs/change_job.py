from collections.abc import Callable
from datetime import datetime

from attrs import frozen

from application.access.principal import Principal
from application.jobs.look_up import unknown_job
from application.ports.persistence import UnitOfWork
from domain.ids import JobId
from domain.jobs.job import Job, JobStatus


@frozen
class RetryJob:
    """Try a job again at once. One that waits for a worker already stays as it is.

    Raise `UnknownJob`, or `IllegalTransition` for one that is in progress or has been done.
    """

    _unit_of_work: UnitOfWork

    async def __call__(self, _: Principal, id_: JobId) -> Job:
        return await _changed(self._unit_of_work, id_, JobStatus.AVAILABLE, lambda job, at: job.retry(at=at))


@frozen
class CancelJob:
    """Cancel a job that has not ended. One that is in progress is interrupted within seconds; what it did stays done.

    A cancelled one stays as it is. Raise `UnknownJob`, or `IllegalTransition` for one that has ended otherwise.
    """

    _unit_of_work: UnitOfWork

    async def __call__(self, _: Principal, id_: JobId) -> Job:
        return await _changed(self._unit_of_work, id_, JobStatus.CANCELLED, lambda job, at: job.cancel(at=at))


async def _changed(
    unit_of_work: UnitOfWork, id_: JobId, wanted: JobStatus, change: Callable[[Job, datetime], None]
) -> Job:
    async with unit_of_work() as tx:
        job = (await tx.jobs.get_many({id_}, lock=True)).get(id_)
        if job is None:
            raise unknown_job(id_)
        if job.status is not wanted:
            change(job, await tx.jobs.now())
            await tx.jobs.save_many([job])
    return job
