"""The consistency check over HTTP: run as a job, told of, and repaired as a separate act."""

import json

import pytest

from application.access.principal import Principal
from application.access.scopes import ROLES, Role
from tests.http.browser import Browser, app_over
from tests.http.test_jobs import work
from tests.unit.application.test_reconciliation_runs import charged_although_refunded
from tests.unit.shop import Shop


@pytest.fixture
async def shop() -> Shop:
    """A shop that may be left inconsistent."""
    return Shop()


async def test_a_check_is_run_told_of_and_repaired(shop: Shop, browser: Browser) -> None:
    order = await charged_although_refunded(shop)
    started = await browser.post("/reconciliations", {})
    assert started.status == 202
    place = started.headers["Location"]
    waiting = (await browser.get(place)).body
    assert (waiting["status"], waiting["by"], waiting["repairs"]) == ("AVAILABLE", "anybody", False)
    assert (waiting["found"], waiting["whole"]) == (None, None)
    assert (await browser.get(f"{place}/discrepancies")).code == "unknown_reconciliation"
    assert (await browser.post(f"{place}/repair", {})).code == "nothing_to_repair"

    await work(shop)

    done = (await browser.get(place)).body
    assert (done["status"], done["found"]["charge"], done["left"]["charge"]) == ("COMPLETED", 1, 1)
    assert (done["repairable"], done["repaired"], done["whole"]) == (1, 0, True)
    [line] = (await browser.get(f"{place}/discrepancies")).body.splitlines()
    told = json.loads(line)
    assert (told["about"], told["order_id"], told["outcome"]) == ("charge", str(order.id), None)
    assert shop.provider.taken == 100

    repair = (await browser.post(f"{place}/repair", {})).headers["Location"]
    await work(shop)
    repaired = (await browser.get(repair)).body
    assert (repaired["repairs"], repaired["of"]) == (True, done["job_id"])
    assert (repaired["repaired"], repaired["left"]["charge"]) == (1, 0)
    assert shop.provider.taken == 0
    assert (await browser.get("/reconciliations")).body["items"] == [repaired, done]
    entries = (await browser.get(f"/audit?subject=reconciliation%20{repaired['job_id']}")).body["items"]
    assert [entry["action"] for entry in entries] == ["reconciliation.repaired", "reconciliation.started"]


async def test_the_person_on_duty_checks_and_repairs_nothing(shop: Shop) -> None:
    async def let_in(_: object) -> Principal:
        return Principal("ana", scopes=ROLES[Role.OPERATOR])

    browser = Browser(app_over(shop.use_cases, authenticate=let_in))
    await charged_although_refunded(shop)
    place = (await browser.post("/reconciliations", {})).headers["Location"]
    await work(shop)
    refused = await browser.post(f"{place}/repair", {})
    assert (refused.status, refused.code) == (403, "forbidden")
    assert shop.provider.taken == 100


async def test_what_is_no_run_is_refused(browser: Browser) -> None:
    nothing = "/reconciliations/01890a5d-ac96-774b-bcce-b302099a8057"
    for path in (nothing, f"{nothing}/discrepancies"):
        assert (await browser.get(path)).code == "unknown_reconciliation"
    assert (await browser.post(f"{nothing}/repair", {})).code == "unknown_reconciliation"
    assert (await browser.get("/reconciliations/7")).code == "not_an_id"
    assert (await browser.post("/reconciliations", {"repair": True})).status == 422
    assert (await browser.send("POST", "/reconciliations", content_type=None)).status == 202
