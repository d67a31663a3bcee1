from http import HTTPStatus
from typing import Final

import msgspec
from attrs import frozen
from msgspec import UNSET
from quart import request

from application.access.principal import Principal
from application.access.scopes import Scope
from application.assembly.use_cases import UseCases
from application.ports.broken import BrokenJob, apart
from application.ports.jobs import place_of
from application.reconciliation.runs import UnknownReconciliation
from domain.jobs.job import Job
from entrypoints.http import examples, query
from entrypoints.http.bodies.jobs import BrokenJobBody, JobAcceptedBody
from entrypoints.http.bodies.reconciliations import ReconciliationBody, ReconciliationsBody, StartReconciliationBody
from entrypoints.http.cursors import Cursors
from entrypoints.http.decoding import read_json_if_any
from entrypoints.http.downloads import file_reply
from entrypoints.http.ids import job_id_of
from entrypoints.http.pages import page_of, page_reply
from entrypoints.http.prefix import here
from entrypoints.http.replies import Reply, reply
from entrypoints.http.routes.download_route import download_route
from entrypoints.http.routes.route import Route

PATH: Final = "/reconciliations"
_START: Final = msgspec.json.Decoder(StartReconciliationBody)
_PAGE: Final = {"limit": query.limit, "cursor": query.cursor}


def reconciliation_routes(use_cases: UseCases, cursors: Cursors) -> list[Route]:
    handlers, needs, one = _Handlers(use_cases, cursors), Scope.RECONCILE, f"{PATH}/<job_id>"
    accepted = {HTTPStatus.ACCEPTED: examples.JOB_ACCEPTED}
    return [
        Route("POST", PATH, needs, handlers.start, summary="Run the consistency check", answers=accepted),
        Route(
            "GET",
            PATH,
            needs,
            handlers.page,
            parameters=_PAGE,
            summary="List runs of the consistency check",
            answers={HTTPStatus.OK: examples.RECONCILIATIONS},
        ),
        Route(
            "GET",
            one,
            needs,
            handlers.get,
            summary="Look at a run of the consistency check",
            answers={HTTPStatus.OK: examples.RECONCILIATION},
        ),
        Route(
            "POST",
            f"{one}/repair",
            needs,
            handlers.repair,
            summary="Repair what a run has found, as far as that is safe",
            answers=accepted,
            refusals=frozenset({HTTPStatus.CONFLICT}),
        ),
        download_route(f"{one}/discrepancies", needs, handlers.discrepancies, summary="Download what a run has found"),
    ]


@frozen
class _Handlers:
    _use_cases: UseCases
    _cursors: Cursors

    async def start(self, by: Principal) -> Reply:
        # Whoever asks for more than a check is not to believe that it is done.
        await read_json_if_any(_START)
        return _accepted(await self._use_cases.start_reconciliation(by))

    async def repair(self, job_id: str, by: Principal) -> Reply:
        return _accepted(await self._use_cases.repair_discrepancies(by, job_id_of(job_id)))

    async def page(self, by: Principal) -> Reply:
        page = await page_of(
            self._cursors.of_reconciliations(),
            query.parameters(request.query_string, _PAGE),
            lambda before, limit: self._use_cases.list_reconciliations(by, before=before, limit=limit),
            lambda run: place_of(run if isinstance(run, BrokenJob) else run.job),
        )
        items, broken = apart(page.items, BrokenJob)
        body = ReconciliationsBody(
            [ReconciliationBody.of_run(each) for each in items],
            page.next,
            [BrokenJobBody.of(each) for each in broken] or UNSET,
        )
        return page_reply(body)

    async def get(self, job_id: str, by: Principal) -> Reply:
        return reply(ReconciliationBody.of_run(await self._use_cases.get_reconciliation(by, job_id_of(job_id))))

    async def discrepancies(self, job_id: str, by: Principal) -> Reply:
        run = await self._use_cases.get_reconciliation(by, job_id_of(job_id))
        file = run.discrepancies
        if file is None:
            raise UnknownReconciliation(f"run {job_id} is not done yet, or what it has found was removed")
        return file_reply(
            run.job,
            file,
            lambda at: self._use_cases.read_discrepancies(by, file, at=at),
            name=f"discrepancies-{run.job.created_at:%Y-%m-%d}",
        )


def _accepted(job: Job) -> Reply:
    return reply(JobAcceptedBody(job.id), HTTPStatus.ACCEPTED, ("Location", here(f"{PATH}/{job.id}")))
