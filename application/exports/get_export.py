from attrs import frozen

from application.access.principal import Principal
from application.exports.request import ExportRequest
from application.exports.start_export import expect_may_read
from application.exports.write_export import CONTENT
from application.jobs.kinds import EXPORT
from application.ports.feed import Position
from application.ports.files import StoredFile
from application.ports.persistence import UnitOfWork
from domain.errors import DomainError
from domain.ids import JobId
from domain.jobs.job import FINISHED, Job, JobStatus


class UnknownExport(DomainError):
    """There is no such export, or it was removed some time after it was written."""

    code = "unknown_export"


class ExportNotReady(DomainError):
    """The export is not written yet, or never will be."""

    code = "export_not_ready"


@frozen
class Export:
    """An export that is written: its bytes never change."""

    job: Job
    request: ExportRequest
    file: StoredFile

    @property
    def as_of(self) -> Position:
        return Position(self.file.state["as_of_position"])


@frozen
class GetExport:
    """Look up an export. Raise `UnknownExport`, `ExportNotReady`, or `Forbidden` for events without their scope."""

    _unit_of_work: UnitOfWork

    async def __call__(self, by: Principal, id_: JobId) -> Export:
        async with self._unit_of_work.reading() as tx:
            job = (await tx.jobs.get_many({id_})).get(id_)
            file = await tx.files.get(id_, CONTENT)
        if job is None or job.kind != EXPORT:
            raise _unknown(id_)
        request = ExportRequest.of(job.arguments)
        expect_may_read(by, request)
        if job.status is not JobStatus.COMPLETED:
            why = f": {job.error}" if job.error else ""
            until = "; it will not be written" if job.status in FINISHED else "; ask again when the job is COMPLETED"
            raise ExportNotReady(f"the job of export {id_} is {job.status.value}{why}{until}")
        if file is None:
            raise _unknown(id_)
        return Export(job, request, file)


def _unknown(id_: JobId) -> UnknownExport:
    return UnknownExport(f"there is no export {id_}: it never was, or it was removed some time after it was written")
