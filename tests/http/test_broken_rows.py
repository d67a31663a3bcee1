"""What a list tells of a job or an endpoint that somebody broke by hand in the database, and of all others."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from attrs import evolve

from adapters.memory.repositories.jobs import MemoryJobs
from adapters.memory.repositories.webhooks import MemoryWebhookEndpoints
from application.jobs.kinds import BULK, RECONCILE
from application.ports.broken import BrokenEndpoint, BrokenJob
from domain.ids import EndpointId, JobId
from domain.jobs.job import Job, new_job
from tests.http.browser import Browser
from tests.http.test_console import Visitor, app_for, text_of
from tests.http.test_webhooks import NEW
from tests.http.test_webhooks import made as endpoint_made
from tests.unit.shop import Shop

BAD = UUID(int=77)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULE = "is stored with invalid values: a rule"


@pytest.fixture
async def ana(shop: Shop) -> Visitor:
    visitor = Visitor(app_for(shop))
    await visitor.sign_in("admin")
    return visitor


def jobs_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the database returns them: the job in whose place another stands can't be read."""
    page = MemoryJobs.page

    async def broken(self: MemoryJobs, **wanted: object) -> list[Job | BrokenJob]:
        found = await page(self, **wanted)  # type: ignore[arg-type]
        return [BrokenJob(JobId(BAD), RULE, created_at=each.created_at) if each.id == BAD else each for each in found]

    monkeypatch.setattr(MemoryJobs, "page", broken)


async def keep(shop: Shop, kind: str) -> None:
    bad = new_job(id=JobId(BAD), kind=kind, arguments={"unreadable": "x"}, now=NOW)
    older = evolve(bad, id=JobId(UUID(int=78)), created_at=bad.created_at - timedelta(hours=1))
    async with shop.unit_of_work() as tx:
        await tx.jobs.add_many([bad, older])


async def test_a_broken_job_costs_no_other(
    shop: Shop, browser: Browser, ana: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(shop, "message")
    jobs_broken(monkeypatch)
    first = (await browser.get("/jobs?limit=1")).body
    assert (first["items"], first["broken"]) == ([], [{"job_id": str(BAD), "detail": RULE}])
    second = (await browser.get(f"/jobs?limit=1&cursor={first['next']}")).body
    assert [each["job_id"] for each in second["items"]] == [str(UUID(int=78))]
    assert "broken" not in second
    page = await text_of(ana, "/console/jobs")
    assert str(BAD) in page
    assert RULE in page


@pytest.mark.parametrize("kind", [BULK, RECONCILE])
async def test_a_job_whose_arguments_are_none_of_its_kind_costs_no_other(
    shop: Shop, browser: Browser, ana: Visitor, kind: str
) -> None:
    await keep(shop, kind)
    path = {BULK: "bulk-operations", RECONCILE: "reconciliations"}[kind]
    listed = (await browser.get(f"/{path}?limit=1")).body
    assert (listed["items"], [each["job_id"] for each in listed["broken"]]) == ([], [str(BAD)])
    following = (await browser.get(f"/{path}?limit=1&cursor={listed['next']}")).body
    assert [each["job_id"] for each in following["broken"]] == [str(UUID(int=78))]
    assert str(BAD) in await text_of(ana, f"/console/{path}")


async def test_a_broken_endpoint_costs_no_other(
    browser: Browser, ana: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await endpoint_made(browser) for _ in range(2)]
    page = MemoryWebhookEndpoints.page

    async def broken(self: MemoryWebhookEndpoints, **wanted: object) -> list[object]:
        found = await page(self, **wanted)  # type: ignore[arg-type]
        return [BrokenEndpoint(EndpointId(UUID(made[0])), RULE) if str(each.id) == made[0] else each for each in found]

    monkeypatch.setattr(MemoryWebhookEndpoints, "page", broken)
    first = (await browser.get("/webhook-endpoints?limit=1")).body
    assert (first["items"], first["broken"]) == ([], [{"endpoint_id": made[0], "detail": RULE}])
    second = (await browser.get(f"/webhook-endpoints?limit=1&cursor={first['next']}")).body
    assert ([each["endpoint_id"] for each in second["items"]], "broken" in second) == ([made[1]], False)
    shown = await text_of(ana, "/console/webhooks")
    assert made[0] in shown
    assert RULE in shown
    assert NEW["url"] in shown
