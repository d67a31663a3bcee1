"""The files of a job."""

from application.ports.persistence import Transaction
from domain.ids import JobId


async def whole_file(tx: Transaction, job_id: JobId, name: str) -> bytes:
    """Read all of a file that fits into memory. Empty if it is gone."""
    content = b""
    while part := await tx.files.read(job_id, name, at=len(content)):
        content += part
    return content
