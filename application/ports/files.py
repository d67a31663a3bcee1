"""Files that all processes of a shop share: what an export has written, what an import was given."""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Final, Protocol

from attrs import field, frozen

from domain.ids import JobId

# The most bytes of a file that are read at once, so that nobody who reads one needs much memory.
LONGEST_PART: Final = 256 * 1024


@frozen(kw_only=True)
class StoredFile:
    """One of the files of a job. `state`, in JSON, is what its writer needs to go on after a crash."""

    job_id: JobId
    name: str
    size: int = 0
    state: Mapping[str, Any] = field(factory=dict)


class Files(Protocol):
    """The files of jobs. Bytes that are stored never change: a file only grows, and is removed as a whole."""

    async def get(self, job_id: JobId, name: str) -> StoredFile | None: ...

    async def get_many(self, job_ids: Collection[JobId], name: str) -> dict[JobId, StoredFile]:
        """The files of this name that these jobs have."""

    async def append(self, file: StoredFile, content: bytes, state: Mapping[str, Any]) -> StoredFile:
        """Store the content behind the file as it was read, and the new state with it. A new file has the size 0.

        Raise `Aborted` if another writer has changed or removed the file since.
        """

    async def read(self, job_id: JobId, name: str, *, at: int) -> bytes:
        """Some bytes from there on, at most `LONGEST_PART`. None are left at the end of the file, or if it is gone."""

    async def remove(self, job_id: JobId, name: str) -> None:
        """Remove the file, if it is there."""

    async def prune(self, *, older_than: timedelta, limit: int) -> int:
        """Remove files that have not grown for so long, the oldest first. Return how many.

        Those of a job that has not ended stay.
        """
