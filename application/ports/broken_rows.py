"""Jobs and endpoints whose rows break a rule. In a list each stands in its place, as a broken order does."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, TypeVar

from application.errors import BrokenRow
from domain.ids import EndpointId, JobId
from domain.jobs.job import Job

# What reading the arguments of a job may raise: they are any JSON.
UNREADABLE: Final = (AttributeError, KeyError, TypeError, ValueError)

T = TypeVar("T")
B = TypeVar("B", bound=BrokenRow)


class BrokenJob(BrokenRow):
    def __init__(self, id_: JobId, created_at: datetime, message: str) -> None:
        super().__init__(message)
        self.id = id_
        self.created_at = created_at


class BrokenEndpoint(BrokenRow):
    def __init__(self, id_: EndpointId, message: str) -> None:
        super().__init__(message)
        self.id = id_


def of_arguments(job: Job, error: Exception) -> BrokenJob:
    return BrokenJob(job.id, job.created_at, f"job {job.id} is stored with invalid arguments: {error!r}")


def apart(found: Iterable[T | B], kind: type[B]) -> tuple[list[T], list[B]]:
    """Return those that can be shown, and those that can't."""
    sound: list[T] = []
    broken: list[B] = []
    for each in found:
        if isinstance(each, kind):
            broken.append(each)
        else:
            sound.append(each)  # type: ignore[arg-type] # mypy narrows no union of type variables
    return sound, broken
