from attrs import frozen

from application.access.principal import Principal
from application.imports.request import NEEDS, ImportRequest
from application.imports.run_import import RESULTS, TRIAL
from application.jobs.kinds import IMPORT
from application.ports.files import StoredFile
from application.ports.persistence import UnitOfWork
from domain.errors import DomainError
from domain.ids import JobId
from domain.jobs.job import FINISHED, Job


class UnknownImport(DomainError):
    """There is no such import, or it was removed some time after its end."""

    code = "unknown_import"


class ImportNotReady(DomainError):
    """The import has not ended, so that its results are not all there."""

    code = "import_not_ready"


@frozen
class Import:
    """An import, and what has become of its rows so far. `results` has a record of each of them."""

    job: Job
    request: ImportRequest
    results: StoredFile | None

    @property
    def is_applied(self) -> bool:
        """Whether rows were done, and not only tried."""
        return self.results is not None and self.results.name == RESULTS

    def expect_results(self) -> StoredFile:
        """Raise `ImportNotReady`, or `UnknownImport` if they were removed."""
        if self.job.status not in FINISHED:
            until = "ask again when it has ended"
            raise ImportNotReady(f"the job of import {self.job.id} is {self.job.status.value}; {until}")
        if self.results is None and self.job.error:
            raise ImportNotReady(f"no row of import {self.job.id} was done or tried: {self.job.error}")
        if self.results is None:
            raise UnknownImport(f"the results of import {self.job.id} were removed, or there never were any")
        return self.results


@frozen
class GetImport:
    """Look up an import. Raise `UnknownImport`, or `Forbidden` without the scope of what is imported."""

    _unit_of_work: UnitOfWork

    async def __call__(self, by: Principal, id_: JobId) -> Import:
        async with self._unit_of_work.reading() as tx:
            job = (await tx.jobs.get_many({id_})).get(id_)
            results = await tx.files.get(id_, RESULTS) or await tx.files.get(id_, TRIAL)
        if job is None or job.kind != IMPORT:
            raise UnknownImport(f"there is no import {id_}: it never was, or it was removed some time after its end")
        request = ImportRequest.of(job.arguments)
        by.expect(NEEDS[request.what])
        return Import(job, request, results)
