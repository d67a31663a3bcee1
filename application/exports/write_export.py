from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen

from application.exports.pages import BEGINNING, ReadExportPages
from application.exports.request import ExportRequest
from application.jobs.kinds import Progress
from application.ports.feed import Position
from application.ports.files import LONGEST_PART, StoredFile
from application.ports.persistence import UnitOfWork
from application.ports.rows import RowWriter
from domain.jobs.job import Job

# The name of the file of the job.
CONTENT: Final = "export"


@frozen
class WriteExport:
    """The handler of the job: write the rows into a file, part by part.

    The place that a part goes up to is stored with it. So another attempt goes on behind what is there, and of two at
    once, one goes on. What has been written is never changed.
    """

    _unit_of_work: UnitOfWork
    _read: ReadExportPages
    _writers: Mapping[str, RowWriter]
    _part: int = field(default=LONGEST_PART, kw_only=True)

    async def __call__(self, job: Job, progress: Progress, /) -> Mapping[str, Any] | None:
        wanted = ExportRequest.of(job.arguments)
        file = await self._begun(job, wanted)
        while file.state["place"] is not None:
            progress.done = file.state["rows"]
            file = await self._write_part(file, wanted)
        progress.done = progress.total = file.state["rows"]
        result = {"rows": file.state["rows"], "bytes": file.size, "as_of_position": file.state["as_of_position"]}
        # Files that an earlier release began do not say so.
        left_out = file.state.get("broken", 0)
        return result | {"broken": left_out} if left_out else result

    async def _begun(self, job: Job, wanted: ExportRequest) -> StoredFile:
        async with self._unit_of_work.reading() as tx:
            file = await tx.files.get(job.id, CONTENT)
        if file is not None:
            return file
        # Before the first row is read: what gets a position later may or may not be in the rows, and comes again.
        position = await self._read.newest()
        state = {"as_of_position": position, "place": BEGINNING, "rows": 0}
        head = self._writers[wanted.format].head(wanted.what, position)
        return await self._append(StoredFile(job_id=job.id, name=CONTENT), head, state)

    async def _write_part(self, file: StoredFile, wanted: ExportRequest) -> StoredFile:
        state, content = dict(file.state), bytearray()
        until = Position(state["as_of_position"])
        while state["place"] is not None and len(content) < self._part:
            page = await self._read(wanted, state["place"], until=until)
            content += self._writers[wanted.format].rows(wanted.what, page.rows)
            state |= {"place": page.following, "rows": state["rows"] + len(page.rows)}
            state["broken"] = state.get("broken", 0) + page.broken
        return await self._append(file, bytes(content), state)

    async def _append(self, file: StoredFile, content: bytes, state: Mapping[str, Any]) -> StoredFile:
        async with self._unit_of_work() as tx:
            return await tx.files.append(file, content, state)
