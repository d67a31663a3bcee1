"""Work for later, what came of it, and the messages that were posted."""

from typing import Final

from attrs import frozen

from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.jobs import JOB_NEEDS
from application.execution.counting import MOST_COUNTED
from application.jobs.kinds import EXPORT, scopes_of
from application.ports.broken import BrokenJob, apart
from application.ports.jobs import place_of
from domain.jobs.job import FINISHED, JobStatus
from entrypoints.http import query
from entrypoints.http.console.kit import Kit
from entrypoints.http.console.pages import see_other
from entrypoints.http.console.requests import address, optional, parameters
from entrypoints.http.downloads import HONOURS, file_reply
from entrypoints.http.ids import job_id_of
from entrypoints.http.pages import Page, page_of
from entrypoints.http.replies import Reply
from entrypoints.http.routes.route import Route

PATH: Final = "/console/jobs"
_PARAMETERS: Final = {
    "kind": optional(query.job_kind),
    "status": optional(query.job_status),
    "cursor": query.cursor,
}
_MESSAGES: Final = {"cursor": query.cursor}
_MAY_BE_TRIED: Final = frozenset({JobStatus.DISCARDED, JobStatus.CANCELLED, JobStatus.RETRYABLE})
# The counts of a page of jobs are asked for as any list of them is.
_COUNTED: Final = {"count": "capped"}


def jobs_screen(kit: Kit) -> list[Route]:
    screen = _Screen(kit)
    return [
        Route("GET", PATH, Scope.ORDERS_READ, screen.show),
        Route("GET", f"{PATH}/<job_id>", Scope.ORDERS_READ, screen.job),
        Route("POST", f"{PATH}/<job_id>/retry", Scope.ORDERS_WRITE, screen.retry),
        Route("POST", f"{PATH}/<job_id>/cancel", Scope.ORDERS_WRITE, screen.cancel),
        Route("GET", f"{PATH}/<job_id>/file", Scope.ORDERS_READ, screen.file, honours=HONOURS),
        Route("GET", "/console/messages", Scope.ORDERS_READ, screen.messages),
    ]


@frozen
class _Screen:
    _kit: Kit

    async def show(self, by: Principal) -> Reply:
        wanted = parameters(_PARAMETERS)
        kind, status, use = wanted.get("kind"), wanted.get("status"), self._kit.use_cases
        page = await page_of(
            self._kit.cursors.of_jobs(kind, status),
            wanted | _COUNTED,
            lambda before, limit: use.list_jobs(by, kind=kind, status=status, before=before, limit=limit),
            place_of,
            lambda: use.count_jobs(by, kind=kind, status=status),
        )
        items, broken = apart(page.items, BrokenJob)
        return self._kit.pages.page(
            "jobs.html",
            by,
            page=Page(items, page.next, page.count),
            broken=broken,
            kind=kind or "",
            chosen=status or "",
            statuses=list(JobStatus),
            most=MOST_COUNTED,
        )

    async def job(self, by: Principal, job_id: str) -> Reply:
        job = await self._kit.use_cases.get_job(by, job_id_of(job_id))
        # The same check as for a retry or a cancel: the job does its work in the name of the caller who started it.
        may_write = by.scopes.issuperset({Scope.ORDERS_WRITE, *scopes_of(job, JOB_NEEDS)})
        return self._kit.pages.page(
            "job.html",
            by,
            job=job,
            may_retry=may_write and job.status in _MAY_BE_TRIED,
            may_cancel=may_write and job.status not in FINISHED,
            has_file=job.kind == EXPORT and job.status is JobStatus.COMPLETED,
        )

    async def retry(self, by: Principal, job_id: str) -> Reply:
        job = await self._kit.use_cases.retry_job(by, job_id_of(job_id))
        return see_other(address(f"{PATH}/{job.id}", done="job-retried"))

    async def cancel(self, by: Principal, job_id: str) -> Reply:
        job = await self._kit.use_cases.cancel_job(by, job_id_of(job_id))
        return see_other(address(f"{PATH}/{job.id}", done="job-cancelled"))

    async def file(self, by: Principal, job_id: str) -> Reply:
        """The file of an export."""
        export = await self._kit.use_cases.get_export(by, job_id_of(job_id))
        wanted = export.request
        return file_reply(
            export.job,
            export.file,
            lambda at: self._kit.use_cases.read_export(by, export.file, at=at),
            name=f"{wanted.what}-{export.as_of}",
            format_=wanted.format,
        )

    async def messages(self, by: Principal) -> Reply:
        page = await page_of(
            self._kit.cursors.of_messages(None),
            parameters(_MESSAGES),
            lambda before, limit: self._kit.use_cases.list_messages(by, order_id=None, before=before, limit=limit),
            lambda message: message.id,
        )
        return self._kit.pages.page("messages.html", by, page=page)
