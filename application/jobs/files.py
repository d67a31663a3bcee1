"""The files of a job."""

from attrs import frozen

from application.access.principal import Principal
from application.ports.files import StoredFile
from application.ports.persistence import Transaction, UnitOfWork
from domain.ids import JobId


@frozen
class ReadFile:
    """Read some bytes of a file from one place on. None are left at its end, or if it was removed meanwhile.

    Who has found the file may read it.
    """

    _unit_of_work: UnitOfWork

    async def __call__(self, _: Principal, file: StoredFile, *, at: int) -> bytes:
        async with self._unit_of_work.reading() as tx:
            return await tx.files.read(file.job_id, file.name, at=at)


async def whole_file(tx: Transaction, job_id: JobId, name: str) -> bytes:
    """Read all of a file that fits into memory. Empty if it is gone."""
    content = b""
    while part := await tx.files.read(job_id, name, at=len(content)):
        content += part
    return content
