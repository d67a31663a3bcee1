"""`holdfast jobs`: what is done later, and how far it is."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from cyclopts import Parameter

from application.access.principal import SYSTEM
from application.ports.broken import BrokenJob
from application.ports.jobs import JobPlace, place_of
from domain.errors import DomainError
from domain.ids import JobId
from domain.jobs.job import Job, JobStatus
from entrypoints.cli.common import CommandError, Data, command_settings, with_use_cases
from entrypoints.cli.output import tell

if TYPE_CHECKING:
    from application.assembly.use_cases import UseCases

Ids = Annotated[UUID, Parameter(help="Ids of jobs, as `holdfast jobs list` prints them.")]

_PAGE = 200
_WIDEST = 100
_LINE = "{:36}  {:12} {:9} {:>8}  {:20} {}"


def list_jobs(
    *,
    kind: Annotated[str | None, Parameter(help="Only jobs of this kind.")] = None,
    status: Annotated[JobStatus | None, Parameter(help="Only jobs with this status.")] = None,
    limit: Annotated[int, Parameter(help="How many at most.")] = 50,
    data: Data = None,
) -> None:
    async def work(use_cases: "UseCases") -> None:
        tell(_LINE.format("ID", "KIND", "STATUS", "ATTEMPTS", "CREATED", "ERROR"))
        last: JobPlace | None = None
        left = limit
        while left > 0 and (
            page := await use_cases.list_jobs(SYSTEM, kind=kind, status=status, before=last, limit=min(left, _PAGE))
        ):
            for job in page:
                tell(_line(job))
            last, left = place_of(page[-1]), left - len(page)

    with_use_cases(command_settings(data=data), work)


def show(
    id: Annotated[UUID, Parameter(help="Id of the job.")],  # noqa: A002 - the help shows this name
    /,
    *,
    data: Data = None,
) -> None:
    async def work(use_cases: "UseCases") -> None:
        try:
            job = await use_cases.get_job(SYSTEM, JobId(id))
        except DomainError as error:
            raise CommandError(str(error)) from None
        for name, value in (
            ("id", job.id),
            ("kind", job.kind),
            ("status", job.status.value),
            ("order", job.order_id or "-"),
            ("attempts", job.attempts),
            ("failures", job.failures),
            ("error", job.error or "-"),
            ("progress", f"{job.done} of {'?' if job.total is None else job.total}"),
            ("created", job.created_at),
            ("available", job.available_at),
            ("started", job.started_at or "-"),
            ("finished", job.finished_at or "-"),
            ("result", dict(job.result) if job.result else "-"),
        ):
            tell(f"{name:9} {value}")

    with_use_cases(command_settings(data=data), work)


def retry(*ids: Ids, data: Data = None) -> None:
    with_use_cases(command_settings(data=data), lambda use_cases: _each(use_cases.retry_job, ids, "will be retried"))


def cancel(*ids: Ids, data: Data = None) -> None:
    with_use_cases(command_settings(data=data), lambda use_cases: _each(use_cases.cancel_job, ids, "cancelled"))


async def _each(change: Callable[..., Awaitable[Job]], ids: tuple[UUID, ...], done: str) -> None:
    if not ids:
        raise CommandError("name jobs by their ids, as `holdfast jobs list` prints them")
    refused = []
    for id_ in ids:
        try:
            await change(SYSTEM, JobId(id_))
        except DomainError as error:
            refused.append(f"{id_}: {error}")
        else:
            tell(f"{id_} {done}")
    if refused:
        raise CommandError("\n".join(refused))


def _line(job: Job | BrokenJob) -> str:
    created = f"{job.created_at:%Y-%m-%d %H:%M:%S}"
    if isinstance(job, BrokenJob):
        return _LINE.format(str(job.id), "?", "broken", "?", created, str(job).replace("\n", " ")[:_WIDEST])
    error = (job.error or "").replace("\n", " ")[:_WIDEST]
    return _LINE.format(str(job.id), job.kind, job.status.value, job.attempts, created, error)
