from attrs import frozen

from application.access.principal import Principal
from application.execution.idempotency import Keyed
from application.exports.request import NEEDS, ExportRequest
from application.jobs.add_job import AddJob, StartedJob, with_arguments
from application.jobs.kinds import EXPORT


@frozen
class StartExport:
    """Accept the wish for an export. Return the job that writes it, whose id is also that of the export.

    Raise `InvalidExport`, `Forbidden` for events without their scope, or `KeyReused`.
    """

    _add_job: AddJob

    async def __call__(self, by: Principal, call: ExportRequest | Keyed[ExportRequest]) -> StartedJob:
        wanted = call.call if isinstance(call, Keyed) else call
        expect_may_read(by, wanted)
        wanted.expect_valid()
        return await self._add_job(by, EXPORT, with_arguments(call, wanted.arguments()))


def expect_may_read(by: Principal, wanted: ExportRequest) -> None:
    """Raise `Forbidden`."""
    by.expect(NEEDS[wanted.what])
