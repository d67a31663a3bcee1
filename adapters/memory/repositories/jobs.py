from collections.abc import Collection, Sequence
from datetime import datetime

from attrs import evolve, frozen

from adapters.memory.store import Changes
from application.jobs.kinds import CHANGE_ORDER
from application.ports.broken import BrokenJob
from application.ports.jobs import DueJobs, JobPlace, place_of
from domain.ids import JobId, OrderId
from domain.jobs.job import FINISHED, Job, JobStatus


@frozen
class MemoryJobs:
    _changes: Changes

    async def now(self) -> datetime:
        return self._changes.store.now()

    async def add_many(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if job.id not in self._changes.jobs:
                self._changes.jobs[job.id] = evolve(job)

    async def due(
        self, moment: datetime, *, since: datetime | None, kinds: Collection[str] | None = None, limit: int
    ) -> DueJobs:
        of_kinds = [job for job in self._all() if kinds is None or job.kind in kinds]
        found = sorted((job for job in of_kinds if job.is_due(moment)), key=lambda job: (job.available_at, job.id))
        seen = [job for job in found if since is None or not due_since(job) < since]
        others_since = min([moment, *(due_since(job) for job in seen[limit:])])
        return DueJobs([evolve(job) for job in seen[:limit]], others_since)

    async def get_many(
        self,
        ids: Collection[JobId],
        *,
        lock: bool = False,  # noqa: ARG002 - the only writer has locked everything
    ) -> dict[JobId, Job]:
        return {job.id: evolve(job) for job in self._all() if job.id in ids}

    async def save_many(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            self._changes.jobs[job.id] = evolve(job)

    async def changes_of(self, order_ids: Collection[OrderId]) -> list[Job]:
        waiting = (job for job in self._all() if job.kind == CHANGE_ORDER and job.status not in FINISHED)
        found = [evolve(job) for job in waiting if job.order_id in order_ids]
        return sorted(found, key=place_of)

    async def page(
        self, *, kind: str | None, status: JobStatus | None, before: JobPlace | None, limit: int
    ) -> list[Job | BrokenJob]:
        newest_first = sorted(self._all(), key=place_of, reverse=True)
        older = [job for job in newest_first if before is None or place_of(job) < before]
        wanted = [job for job in older if kind in {None, job.kind} and status in {None, job.status}]
        return [evolve(job) for job in wanted[:limit]]

    async def count(self, *, kind: str | None, status: JobStatus | None, most: int) -> int:
        return len(await self.page(kind=kind, status=status, before=None, limit=most))

    async def remove_finished(self, moment: datetime, *, limit: int) -> int:
        ended = sorted(
            (job.finished_at, job.id) for job in self._all() if job.finished_at is not None and job.finished_at < moment
        )
        self._changes.removed_jobs.update(id_ for _, id_ in ended[:limit])
        return len(ended[:limit])

    def _all(self) -> list[Job]:
        return [job for id_, job in self._changes.jobs.items() if id_ not in self._changes.removed_jobs]


def due_since(job: Job) -> datetime:
    return job.leased_until or job.available_at
