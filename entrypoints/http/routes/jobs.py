from http import HTTPStatus
from typing import Final

from attrs import frozen
from msgspec import UNSET
from quart import request

from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from application.ports.broken import BrokenJob, apart
from application.ports.jobs import place_of
from entrypoints.http import examples, query
from entrypoints.http.bodies.jobs import BrokenJobBody, JobBody, JobsBody
from entrypoints.http.cursors import Cursors
from entrypoints.http.ids import job_id_of
from entrypoints.http.pages import page_of, page_reply
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.route import Route

_PARAMETERS: Final = {
    "kind": query.job_kind,
    "status": query.job_status,
    "limit": query.limit,
    "cursor": query.cursor,
    "count": query.count,
}


def jobs_routes(use_cases: UseCases, cursors: Cursors) -> list[Route]:
    handlers = _Handlers(use_cases, cursors)
    return [
        Route(
            "GET",
            "/jobs",
            Scope.ORDERS_READ,
            handlers.page,
            parameters=_PARAMETERS,
            summary="List jobs",
            answers={HTTPStatus.OK: examples.JOBS},
        ),
        Route(
            "GET",
            "/jobs/<job_id>",
            Scope.ORDERS_READ,
            handlers.get,
            summary="Read a job",
            answers={HTTPStatus.OK: examples.JOB},
        ),
        Route(
            "POST",
            "/jobs/<job_id>/retry",
            Scope.ORDERS_WRITE,
            handlers.retry,
            summary="Run a job again",
            answers={HTTPStatus.OK: examples.JOB},
            refusals=frozenset({HTTPStatus.CONFLICT}),
        ),
        Route(
            "POST",
            "/jobs/<job_id>/cancel",
            Scope.ORDERS_WRITE,
            handlers.cancel,
            summary="Cancel a job",
            answers={HTTPStatus.OK: examples.JOB},
            refusals=frozenset({HTTPStatus.CONFLICT}),
        ),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases
    _cursors: Cursors

    async def page(self, by: Principal) -> Reply:
        wanted = query.parameters(request.query_string, _PARAMETERS)
        kind, status = wanted.get("kind"), wanted.get("status")
        page = await page_of(
            self._cursors.of_jobs(kind, status),
            wanted,
            lambda before, limit: self._use_cases.list_jobs(by, kind=kind, status=status, before=before, limit=limit),
            place_of,
            lambda: self._use_cases.count_jobs(by, kind=kind, status=status),
        )
        items, broken = apart(page.items, BrokenJob)
        body = JobsBody(
            [JobBody.of(job) for job in items],
            page.next,
            page.count,
            [BrokenJobBody.of(each) for each in broken] or UNSET,
        )
        return page_reply(body)

    async def get(self, job_id: str, by: Principal) -> Reply:
        return reply(JobBody.of(await self._use_cases.get_job(by, job_id_of(job_id))))

    async def retry(self, job_id: str, by: Principal) -> Reply:
        return reply(JobBody.of(await self._use_cases.retry_job(by, job_id_of(job_id))))

    async def cancel(self, job_id: str, by: Principal) -> Reply:
        return reply(JobBody.of(await self._use_cases.cancel_job(by, job_id_of(job_id))))
