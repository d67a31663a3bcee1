"""Jobs and messages in the database."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from attrs import frozen

from application.ports.broken import BrokenJob
from domain.ids import JobId, OrderId
from domain.jobs.job import Job, JobStatus
from domain.message import Message

# Where a job stands among all, in time. It stands there also when the job itself has been removed.
JobPlace = tuple[datetime, JobId]


def place_of(job: Job | BrokenJob) -> JobPlace:
    return job.created_at, job.id


@frozen
class DueJobs:
    """What a look at the jobs that are due has found, the longest due first.

    Whatever else is due has been so for no longer than since `others_since`: there was no room for it, or others had
    locked it. If nothing else is due, that is the moment of the look.
    """

    jobs: list[Job]
    others_since: datetime


class Jobs(Protocol):
    """Work for later. Nothing is tracked: a changed job must be saved."""

    async def now(self) -> datetime:
        """The time by the clock of the database, by which leases and delays are counted."""

    async def add_many(self, jobs: Sequence[Job]) -> None:
        """A job whose id is known already stays as it is. Raise `Aborted` when another writer adds one just now."""

    async def due(
        self, moment: datetime, *, since: datetime | None, kinds: Collection[str] | None = None, limit: int
    ) -> DueJobs:
        """Jobs that are due, of any kind or of these, locked. One that others lock is left out.

        With `since`, those that are due since an earlier time are left out, so that nobody looks through what was done.
        One that can't be read is discarded, with the reason, and keeps no other from being done.
        """

    async def get_many(self, ids: Collection[JobId], *, lock: bool = False) -> dict[JobId, Job]:
        """The jobs that exist. With `lock`, locked in the order of their ids."""

    async def save_many(self, jobs: Sequence[Job]) -> None:
        """Save jobs that this transaction has locked."""

    async def changes_of(self, order_ids: Collection[OrderId]) -> list[Job]:
        """The jobs that change these orders (`CHANGE_ORDER`) and have not ended, oldest first."""

    async def page(
        self, *, kind: str | None, status: JobStatus | None, before: JobPlace | None, limit: int
    ) -> list[Job | BrokenJob]:
        """A page of jobs after the place `before`, newest first and then by id.

        One that can't be read stands in its place.
        """

    async def count(self, *, kind: str | None, status: JobStatus | None, most: int) -> int:
        """How many jobs `page` would find, up to `most`. No more than these are read."""

    async def remove_finished(self, moment: datetime, *, limit: int) -> int:
        """Remove jobs that ended before the moment, the oldest first. Return how many."""


class Messages(Protocol):
    """What was said. No message is changed or removed."""

    async def add_many(self, messages: Sequence[Message]) -> None:
        """A message whose id is known already stays as it is. Raise `Aborted` when another writer adds one just now."""

    async def page(self, *, order_id: OrderId | None, before: JobId | None, limit: int) -> list[Message]:
        """A page of messages, of one order or of all, after the message `before`, newest first and then by id."""
