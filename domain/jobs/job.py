from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from attrs import define, field, setters
from attrs.validators import ge

from domain.errors import DomainError, IllegalTransition
from domain.ids import JobId, OrderId
from domain.moments import is_past


class JobStatus(StrEnum):
    # For a later time.
    SCHEDULED = "SCHEDULED"
    # Until a worker takes it.
    AVAILABLE = "AVAILABLE"
    EXECUTING = "EXECUTING"
    # Until it is tried again.
    RETRYABLE = "RETRYABLE"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    # Not tried again, unless a person wants it.
    DISCARDED = "DISCARDED"


_S: Final = JobStatus
# The whole life of a job.
NEXT: Final[Mapping[JobStatus, frozenset[JobStatus]]] = MappingProxyType(
    {
        _S.SCHEDULED: frozenset({_S.EXECUTING, _S.CANCELLED}),
        _S.AVAILABLE: frozenset({_S.EXECUTING, _S.CANCELLED}),
        # It is EXECUTING again when another worker takes it, because the one that had it is gone.
        _S.EXECUTING: frozenset({_S.EXECUTING, _S.AVAILABLE, _S.RETRYABLE, _S.COMPLETED, _S.DISCARDED, _S.CANCELLED}),
        _S.RETRYABLE: frozenset({_S.EXECUTING, _S.AVAILABLE, _S.CANCELLED}),
        _S.COMPLETED: frozenset(),
        _S.CANCELLED: frozenset({_S.AVAILABLE}),
        _S.DISCARDED: frozenset({_S.AVAILABLE}),
    }
)
WAITING: Final = frozenset({_S.SCHEDULED, _S.AVAILABLE, _S.RETRYABLE})
FINISHED: Final = frozenset({_S.COMPLETED, _S.CANCELLED, _S.DISCARDED})

MAX_FAILURES: Final = 8
# A worker that is alive renews its lease long before the end. After the end, another worker takes the job.
LEASE: Final = timedelta(seconds=30)
LONGEST_DELAY: Final = timedelta(minutes=5)
# The error of a job that was taken over too often.
_WORKERS_ENDED: Final = "the worker that had it ended in the middle, each time"


class UnknownJob(DomainError):
    """There is no such job, or it was removed some time after its end."""

    code = "unknown_job"


@define(kw_only=True)
class Job:
    """Work that a worker does later, at least once. Its effects must be the same however often it runs.

    `attempts` counts how often it was begun. `failures` counts the attempts that failed by themselves, not because a
    server was away. `done` of `total` tells its progress, and `result` what came of it.
    """

    id: JobId = field(on_setattr=setters.frozen)
    kind: str = field(on_setattr=setters.frozen)
    arguments: Mapping[str, Any] = field(factory=dict, on_setattr=setters.frozen)
    # The order that it is about: its customer may see the job.
    order_id: OrderId | None = field(default=None, on_setattr=setters.frozen)
    status: JobStatus = JobStatus.AVAILABLE
    attempts: int = field(default=0, validator=ge(0))
    failures: int = field(default=0, validator=ge(0))
    error: str | None = None
    done: int = field(default=0, validator=ge(0))
    total: int | None = None
    result: Mapping[str, Any] | None = None
    # When it may begin.
    available_at: datetime
    leased_until: datetime | None = None
    created_at: datetime = field(on_setattr=setters.frozen)
    started_at: datetime | None = None
    finished_at: datetime | None = None

    def is_due(self, moment: datetime) -> bool:
        """Whether a worker may take it: its time has come, or the worker that had it is gone.

        A lease or a delay that ends later than any can is void, because a clock was set back.
        """
        if self.status is JobStatus.EXECUTING:
            return is_past(self.leased_until, moment, longest=LEASE)
        if self.status is JobStatus.SCHEDULED:
            return self.available_at <= moment
        return self.status in WAITING and is_past(self.available_at, moment, longest=LONGEST_DELAY)

    def begin(self, *, at: datetime) -> None:
        """Begin the next attempt. A job whose workers keep dying is discarded instead: it may be what kills them."""
        if self.status is JobStatus.EXECUTING:
            self.failures += 1
            if self.failures >= MAX_FAILURES:
                self._end(JobStatus.DISCARDED, at=at, error=_WORKERS_ENDED)
                return
        self._become(JobStatus.EXECUTING)
        self.attempts += 1
        self.done, self.total = 0, None
        self.started_at, self.leased_until = at, at + LEASE

    def is_in_hand(self, begun: "Job") -> bool:
        """Whether the attempt that began with this is the one that goes on.

        Two attempts have the same number if the beginning of one was rolled back. They began at different times.
        """
        return self.status is JobStatus.EXECUTING and (self.attempts, self.started_at) == (
            begun.attempts,
            begun.started_at,
        )

    def take_back_failure(self, attempt: int, *, at: datetime) -> None:
        """Count one failure less, if it was counted because the worker of that attempt was taken to be gone.

        If the job was discarded for that, it goes on: in that attempt, or in a new one if another was begun since.
        """
        if self.status is JobStatus.DISCARDED and self.error == _WORKERS_ENDED:
            self._become(JobStatus.AVAILABLE)
            self.failures, self.error, self.available_at, self.finished_at = self.failures - 1, None, at, None
            if self.attempts == attempt:
                self._become(JobStatus.EXECUTING)
                self.leased_until = at + LEASE
        elif self.status not in FINISHED and self.attempts > attempt and self.failures:
            self.failures -= 1

    def renew(self, *, at: datetime, done: int, total: int | None) -> None:
        self.leased_until, self.done, self.total = at + LEASE, done, total

    def complete(self, *, at: datetime, result: Mapping[str, Any] | None) -> None:
        self.result, self.error = result, None
        self._end(JobStatus.COMPLETED, at=at)

    def fail(self, error: str, *, at: datetime) -> None:
        """Try it again after a delay that grows with each failure, or discard it after the last one."""
        self.failures += 1
        if self.failures >= MAX_FAILURES:
            self._end(JobStatus.DISCARDED, at=at, error=error)
        else:
            self.put_off(error, at=at, failures=self.failures)

    def put_off(self, error: str, *, at: datetime, failures: int) -> None:
        """Try it again later, without end: it was not the job that failed."""
        self._become(JobStatus.RETRYABLE)
        self.error, self.leased_until = error, None
        self.available_at = at + min(timedelta(seconds=2.0 ** min(failures, 20)), LONGEST_DELAY)

    def discard(self, error: str, *, at: datetime) -> None:
        """Another attempt would end in the same way."""
        self._end(JobStatus.DISCARDED, at=at, error=error)

    def release(self, *, at: datetime) -> None:
        """Give it to another worker, because this one stops."""
        self._become(JobStatus.AVAILABLE)
        self.available_at, self.leased_until = at, None

    def cancel(self, *, at: datetime) -> None:
        self._end(JobStatus.CANCELLED, at=at)

    def retry(self, *, at: datetime) -> None:
        """Try it again at once, as often as if it had never failed."""
        self._become(JobStatus.AVAILABLE)
        self.failures, self.available_at, self.finished_at = 0, at, None

    def _end(self, status: JobStatus, *, at: datetime, error: str | None = None) -> None:
        self._become(status)
        self.error = self.error if error is None else error
        self.finished_at, self.leased_until = at, None

    def _become(self, status: JobStatus) -> None:
        if status not in NEXT[self.status]:
            raise IllegalTransition(f"the job is {self.status.value} and cannot become {status.value}")
        self.status = status


def new_job(  # noqa: PLR0913 - the parts of a job, by name
    *,
    id: JobId,  # noqa: A002 - as in `Job`
    kind: str,
    arguments: Mapping[str, Any],
    now: datetime,
    order_id: OrderId | None = None,
    at: datetime | None = None,
) -> Job:
    """Return a job for now, or for a later time."""
    is_later = at is not None and at > now
    return Job(
        id=id,
        kind=kind,
        arguments=arguments,
        order_id=order_id,
        status=JobStatus.SCHEDULED if is_later else JobStatus.AVAILABLE,
        available_at=at if at is not None and is_later else now,
        created_at=now,
    )
