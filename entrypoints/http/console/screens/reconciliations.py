"""The consistency check: its runs, what they have found, and the repair of what is safe to repair."""

from typing import Any, Final

from attrs import frozen

from application.access.principal import Principal
from application.access.scopes import Scope
from application.ports.broken import BrokenJob, apart
from application.ports.jobs import place_of
from application.reconciliation.runs import REPAIR_NEEDS
from application.reconciliation.start import Reconciliation
from domain.jobs.job import FINISHED
from entrypoints.http import query
from entrypoints.http.console.kit import Kit
from entrypoints.http.console.pages import see_other
from entrypoints.http.console.requests import address, parameters
from entrypoints.http.ids import job_id_of
from entrypoints.http.pages import Page, page_of
from entrypoints.http.replies import Reply
from entrypoints.http.routes.route import Route
from entrypoints.ndjson import rows_in

PATH: Final = "/console/reconciliations"
_LIST: Final = {"cursor": query.cursor}
# How many discrepancies of a run are shown. The whole file can be downloaded from the API.
_MOST_SHOWN: Final = 500


def reconciliations_screen(kit: Kit) -> list[Route]:
    screen, needs, one = _Screen(kit), Scope.RECONCILE, f"{PATH}/<job_id>"
    return [
        Route("GET", PATH, needs, screen.all),
        Route("POST", PATH, needs, screen.start),
        Route("GET", one, needs, screen.one),
        Route("POST", f"{one}/repair", needs, screen.repair),
    ]


@frozen
class _Screen:
    _kit: Kit

    async def all(self, by: Principal) -> Reply:
        page = await page_of(
            self._kit.cursors.of_reconciliations(),
            parameters(_LIST),
            lambda before, limit: self._kit.use_cases.list_reconciliations(by, before=before, limit=limit),
            lambda run: place_of(run if isinstance(run, BrokenJob) else run.job),
        )
        items, broken = apart(page.items, BrokenJob)
        names = await self._kit.names_of(by, [run.request.by.key_id for run in items])
        shown = Page(items, page.next)
        return self._kit.pages.page("reconciliations.html", by, page=shown, broken=broken, names=names)

    async def start(self, by: Principal) -> Reply:
        job = await self._kit.use_cases.start_reconciliation(by)
        return see_other(address(f"{PATH}/{job.id}", done="check-started"))

    async def one(self, by: Principal, job_id: str) -> Reply:
        run = await self._kit.use_cases.get_reconciliation(by, job_id_of(job_id))
        findings = await self._findings(by, run)
        is_repairable = run.result is not None and run.result["repairable"] and run.discrepancies is not None
        return self._kit.pages.page(
            "reconciliation.html",
            by,
            run=run,
            names=await self._kit.names_of(by, [run.request.by.key_id]),
            has_ended=run.job.status in FINISHED,
            findings=findings,
            may_repair=is_repairable and by.scopes.issuperset(REPAIR_NEEDS),
            most_shown=_MOST_SHOWN,
        )

    async def repair(self, by: Principal, job_id: str) -> Reply:
        job = await self._kit.use_cases.repair_discrepancies(by, job_id_of(job_id))
        return see_other(address(f"{PATH}/{job.id}", done="repair-started"))

    async def _findings(self, by: Principal, run: Reconciliation) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        if (file := run.discrepancies) is not None:
            async for each in rows_in(lambda at: self._kit.use_cases.read_discrepancies(by, file, at=at)):
                found.append(each)
                if len(found) == _MOST_SHOWN:
                    break
        return found
