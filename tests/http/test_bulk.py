"""Bulk operations over HTTP: counted, confirmed, run as a job, and told of item by item."""

import json
from typing import Any

from application.access.principal import Principal
from application.access.scopes import ROLES, Role
from tests.http.browser import Answer, Browser, app_over
from tests.http.test_dead_letters import set_aside
from tests.http.test_jobs import work
from tests.unit.shop import Shop


async def start(browser: Browser, **body: Any) -> Answer:
    return await browser.post("/bulk-operations", {"act": "discard", "reason": "a test of the till", **body})


async def test_it_is_counted_confirmed_run_and_told_of(shop: Shop, browser: Browser) -> None:
    await set_aside(shop, *(b"%d" % number for number in range(101)))
    await set_aside(shop, b"another", reason="BadMessage: no JSON")
    group = {"queue": "payments", "error": "KeyError"}
    counted = await start(browser, filter=group, dry_run=True)
    assert (counted.status, counted.body) == (200, {"count": 101, "more": False, "needs_count": True})
    assert shop.store.jobs == {}
    refused = await start(browser, filter=group)
    assert (refused.code, refused.body["detail"]) == (
        "count_not_confirmed",
        "there are 101 of them now: send this as the count",
    )
    begun = await start(browser, filter=group, count=101)
    assert begun.status == 202
    place = begun.headers["Location"]
    waiting = (await browser.get(place)).body
    assert (waiting["status"], waiting["count"], waiting["done"], waiting["by"]) == ("AVAILABLE", 101, 0, "anybody")
    assert (await browser.get(f"{place}/results")).code == "unknown_bulk_operation"

    await work(shop)

    done = (await browser.get(place)).body
    assert (done["status"], done["done"], done["failed"], done["skipped"], done["open"]) == ("COMPLETED", 101, 0, 0, 0)
    assert (done["filter"], done["reason"]) == (group, "a test of the till")
    lines = (await browser.get(f"{place}/results")).body.splitlines()
    assert [json.loads(line)["outcome"] for line in lines] == ["done"] * 101
    [listed] = (await browser.get("/bulk-operations")).body["items"]
    assert listed == done
    assert [each["count"] for each in (await browser.get("/dead-letters/groups")).body["groups"]] == [1]
    assert (await browser.post(f"{place}/stop", {})).code == "illegal_transition"
    subject = place.removeprefix("/bulk-operations/")
    [entry] = (await browser.get(f"/audit?subject=bulk%20operation%20{subject}")).body["items"]
    assert (entry["action"], entry["key_id"], entry["after"]["count"]) == ("bulk_operation.started", "anybody", 101)


async def test_what_is_no_operation_is_refused(browser: Browser) -> None:
    for bad in (
        {"act": "lose"},
        {"filter": {"queue": "nothing"}},
        {"filter": {"error": ""}},
        {"filter": {"more": 1}},
        {"count": -1},
        {"reason": ""},
        {"reason": "x" * 201},
    ):
        assert (await start(browser, **bad)).status == 422, bad
    nothing = "/bulk-operations/01890a5d-ac96-774b-bcce-b302099a8057"
    assert (await browser.get(nothing)).code == "unknown_bulk_operation"
    assert (await browser.post(f"{nothing}/stop", {})).code == "unknown_bulk_operation"


async def test_an_operator_replays_in_bulk_and_discards_nothing(shop: Shop) -> None:
    async def let_in(_: object) -> Principal:
        return Principal("ana", scopes=ROLES[Role.OPERATOR])

    browser = Browser(app_over(shop.use_cases, authenticate=let_in))
    await set_aside(shop, b"1")
    assert (await start(browser)).status == 403
    assert (await start(browser, dry_run=True)).status == 403
    begun = await start(browser, act="replay")
    assert begun.status == 202
    await work(shop)
    done = (await browser.get(begun.headers["Location"])).body
    # It is no event, which is told of the item.
    assert (done["failed"], done["by"]) == (1, "ana")
