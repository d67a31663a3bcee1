from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Final

from attrs import evolve, frozen

from adapters.memory.store import Changes, KeptFile
from application.errors import Aborted
from application.ports.files import LONGEST_PART, StoredFile
from domain.ids import JobId
from domain.jobs.job import FINISHED

_NOTHING: Final = b""


@frozen
class MemoryFiles:
    _changes: Changes

    async def get(self, job_id: JobId, name: str) -> StoredFile | None:
        kept = self._changes.files_there().get((job_id, name))
        return None if kept is None else kept.file

    async def get_many(self, job_ids: Collection[JobId], name: str) -> dict[JobId, StoredFile]:
        there = self._changes.files_there()
        return {id_: there[id_, name].file for id_ in job_ids if (id_, name) in there}

    async def append(self, file: StoredFile, content: bytes, state: Mapping[str, Any]) -> StoredFile:
        kept = self._changes.files_there().get((file.job_id, file.name))
        if file.size != (0 if kept is None else kept.file.size):
            raise Aborted("another writer has changed the file meanwhile")
        grown = evolve(file, size=file.size + len(content), state=dict(state))
        whole = (_NOTHING if kept is None else kept.content) + content
        self._changes.files[file.job_id, file.name] = KeptFile(grown, whole, self._changes.store.now())
        return grown

    async def read(self, job_id: JobId, name: str, *, at: int) -> bytes:
        kept = self._changes.files_there().get((job_id, name))
        return _NOTHING if kept is None else kept.content[at : at + LONGEST_PART]

    async def remove(self, job_id: JobId, name: str) -> None:
        self._changes.files[job_id, name] = None

    async def prune(self, *, older_than: timedelta, limit: int) -> int:
        moment = self._changes.store.now() - older_than
        needed = {id_ for id_, job in self._changes.jobs.items() if job.status not in FINISHED}
        there = self._changes.files_there().items()
        old = sorted((kept.at, key) for key, kept in there if kept.at < moment and key[0] not in needed)
        for _, key in old[:limit]:
            self._changes.files[key] = None
        return len(old[:limit])
