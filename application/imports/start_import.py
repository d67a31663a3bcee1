from collections.abc import AsyncIterator
from contextlib import suppress
from hashlib import sha256
from typing import Any, Final

from attrs import frozen

from application.access.audit import caller_of
from application.access.principal import Principal
from application.errors import NotDone, Trouble
from application.execution.idempotency import KeyReused
from application.imports.request import NEEDS, ImportRequest
from application.jobs.add_job import StartedJob
from application.jobs.kinds import IMPORT
from application.ports.audit import AuditEntry
from application.ports.environment import Clock, NewId
from application.ports.files import LONGEST_PART, StoredFile
from application.ports.idempotency import IdempotencyKey
from application.ports.persistence import Transaction, UnitOfWork
from application.ports.rows import RowParsers
from domain.errors import DomainError
from domain.ids import JobId
from domain.jobs.job import Job, new_job

# The names of files that were sent begin so. Several may be sent at once for one job, under the same key.
_UPLOAD: Final = "upload "
# Which of the job's arguments differ when the same file is sent again under the same key.
_OF_THIS_UPLOAD: Final = frozenset({"upload", "by"})


@frozen
class StartImport:
    """Take a file, part by part, and add the job that imports it. The job is there once the whole file is, or never.

    Under a key, the same file is one import, however often it is sent. Raise `Forbidden` without the scope of what is
    imported, `UnreadableFile` if the file begins with what no such file can begin with, or `KeyReused`.
    """

    _unit_of_work: UnitOfWork
    _parsers: RowParsers
    _new_id: NewId
    _now: Clock

    async def __call__(
        self, by: Principal, wanted: ImportRequest, parts: AsyncIterator[bytes], *, key: IdempotencyKey | None = None
    ) -> StartedJob:
        by.expect(NEEDS[wanted.what])
        id_, name = JobId(self._new_id() if key is None else key.order_id), f"{_UPLOAD}{self._new_id().hex[-8:]}"
        file, rest, digest = StoredFile(job_id=id_, name=name), b"", sha256()
        try:
            async for part in self._begun_well(wanted, parts):
                digest.update(part)
                rest += part
                if len(rest) >= LONGEST_PART:
                    async with self._unit_of_work() as tx:
                        file = await tx.files.append(file, rest, {})
                    rest = b""
        except BaseException:
            # Also when the client hangs up. After a crash here, no job knows the file: it is removed as all files are.
            await self._forget(file)
            raise
        upload = {"upload": file.name, "size": file.size + len(rest), "sha256": digest.hexdigest()}
        try:
            async with self._unit_of_work() as tx:
                return await self._add(tx, by, wanted, file, rest, upload)
        except (NotDone, DomainError):
            await self._forget(file)
            raise

    async def _begun_well(self, wanted: ImportRequest, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the parts. Who sends another kind of file is told so at once: raise `UnreadableFile`."""
        parser, count = self._parsers[wanted.format](wanted.what), 0
        async for part in parts:
            count += 1
            if count == 1:
                parser.feed(part)
            yield part
        if count == 1:
            parser.end()

    async def _add(  # noqa: PLR0913, PLR0917 - the parts of one call
        self,
        tx: Transaction,
        by: Principal,
        wanted: ImportRequest,
        file: StoredFile,
        rest: bytes,
        upload: dict[str, Any],
    ) -> StartedJob:
        caller = caller_of(by)
        job = new_job(
            id=file.job_id,
            kind=IMPORT,
            arguments=wanted.arguments() | upload | {"by": {"key_id": caller.key_id, "request_id": caller.request_id}},
            now=self._now(),
        )
        await tx.jobs.add_many([job])
        kept = (await tx.jobs.get_many({job.id}))[job.id]
        if _wanted(kept) != _wanted(job):
            raise KeyReused
        if kept.arguments["upload"] != file.name:
            # An earlier request under the key has brought the same file.
            await tx.files.remove(file.job_id, file.name)
            return StartedJob(kept, replayed=True)
        await tx.files.append(file, rest, {})
        noted = {**wanted.arguments(), "size": upload["size"], "sha256": upload["sha256"]}
        subject = f"import {job.id}"
        entry = AuditEntry(at=job.created_at, by=caller, action="import.started", subject=subject, after=noted)
        await tx.audit.add_many([entry])
        return StartedJob(job)

    async def _forget(self, file: StoredFile) -> None:
        if not file.size:
            return
        with suppress(Trouble):
            async with self._unit_of_work() as tx:
                await tx.files.remove(file.job_id, file.name)


def _wanted(job: Job) -> dict[str, Any]:
    return {"kind": job.kind} | {name: each for name, each in job.arguments.items() if name not in _OF_THIS_UPLOAD}
