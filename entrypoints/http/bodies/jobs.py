"""The JSON of jobs."""

from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

from application.ports.broken import BrokenJob
from domain.jobs.job import Job, JobStatus


class JobAcceptedBody(Struct, frozen=True):
    job_id: UUID


class ProgressBody(Struct, frozen=True):
    """How much is done, and of how much, if that is known."""

    done: int
    total: int | None


class JobBody(Struct, frozen=True):
    job_id: UUID
    kind: str
    status: JobStatus
    order_id: UUID | None
    attempts: int
    failures: int
    error: str | None
    progress: ProgressBody
    result: dict[str, Any] | None
    created_at: datetime
    available_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> "JobBody":
        return cls(
            job.id,
            job.kind,
            job.status,
            job.order_id,
            job.attempts,
            job.failures,
            job.error,
            ProgressBody(job.done, job.total),
            None if job.result is None else dict(job.result),
            job.created_at,
            job.available_at,
            job.started_at,
            job.finished_at,
        )


class BrokenJobBody(Struct, frozen=True):
    """A job that can't be shown, since what is stored of it breaks a rule."""

    job_id: UUID
    detail: str

    @classmethod
    def of(cls, job: BrokenJob) -> "BrokenJobBody":
        return cls(job.id, str(job))


class JobsBody(Struct, frozen=True):
    items: list[JobBody]
    next: str | None
    # Up to 10,000, where `count` asked for it.
    count: int | UnsetType = UNSET
    # Those that belong to this page and can't be shown, if there are any.
    broken: list[BrokenJobBody] | UnsetType = UNSET
