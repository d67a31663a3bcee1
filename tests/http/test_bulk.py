"""Bulk operations over HTTP: counted, confirmed, run as a job, and told of item by item."""

import json
from typing import Any

from application.access.principal import Principal
from application.access.scopes import ALL_SCOPES, CUSTOMER_SCOPES, ROLES, Role, Scope
from domain.ids import UserId
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


async def test_orders_are_chosen_counted_cancelled_and_told_of(shop: Shop, browser: Browser) -> None:
    pen = await shop.sells(stock=9)
    first, second = [str((await shop.order((pen, 1))).id) for _ in range(2)]
    paid = str((await shop.paid((pen, 1))).id)
    by_filter = {"act": "cancel", "reason": "a wrong price", "orders": {"user_id": 1, "status": ["PENDING", "PAID"]}}
    counted = await browser.post("/bulk-operations", {**by_filter, "dry_run": True})
    assert counted.body == {"count": 3, "more": False, "needs_count": False}
    begun = await browser.post("/bulk-operations", {**by_filter, "count": 3})
    assert begun.status == 202
    await work(shop)
    done = (await browser.get(begun.headers["Location"])).body
    assert (done["act"], done["orders"], done["filter"]) == (
        "cancel",
        {"user_id": 1, "status": ["PAID", "PENDING"]},
        {},
    )
    assert (done["status"], done["done"], done["failed"]) == ("COMPLETED", 2, 1)
    lines = (await browser.get(f"{begun.headers['Location']}/results")).body.splitlines()
    told = {each["id"]: each for each in map(json.loads, lines)}
    assert (told[first]["outcome"], told[second]["outcome"]) == ("done", "done")
    assert told[paid]["reason"].startswith("IllegalTransition: ")
    assert (await browser.get(f"/orders/{first}")).body["status"] == "CANCELLED"
    assert (await browser.get(f"/orders/{paid}")).body["status"] == "PAID"

    chosen = {"act": "retry", "orders": {"ids": [first]}}
    begun = await browser.post("/bulk-operations", chosen)
    await work(shop)
    done = (await browser.get(begun.headers["Location"])).body
    assert (done["orders"], done["failed"]) == ({"ids": [first]}, 1)
    assert (await browser.get(f"/jobs/{done['job_id']}")).body["status"] == "COMPLETED"


async def test_orders_that_are_chosen_wrongly_are_refused(shop: Shop, browser: Browser) -> None:
    order = str((await shop.order((await shop.sells(), 1))).id)
    for bad in (
        {"act": "cancel"},
        {"act": "cancel", "orders": {}},
        {"act": "cancel", "orders": {"ids": []}},
        {"act": "cancel", "orders": {"product_id": []}},
        {"act": "cancel", "orders": {"status": [], "product_id": []}},
        {"act": "cancel", "orders": {"status": []}, "dry_run": True},
        {"act": "cancel", "orders": {"ids": ["x"]}},
        {"act": "cancel", "orders": {"ids": [order] * 101}},
        {"act": "cancel", "orders": {"ids": [order], "user_id": 1}},
        {"act": "cancel", "orders": {"active": True}},
        {"act": "cancel", "orders": {"status": ["LOST"]}},
        {"act": "cancel", "orders": {"ids": [order]}, "reason": ""},
        {"act": "cancel", "orders": {"ids": [order]}, "filter": {"queue": "payments"}},
        {"act": "discard", "orders": {"ids": [order]}},
    ):
        assert (await start(browser, **bad)).status == 422, bad
    assert shop.store.jobs == {}


async def test_a_customer_cancels_nothing_in_bulk(shop: Shop) -> None:
    async def let_in(_: object) -> Principal:
        return Principal("eve", user_id=UserId(1), scopes=CUSTOMER_SCOPES)

    browser = Browser(app_over(shop.use_cases, authenticate=let_in))
    order = await shop.order((await shop.sells(), 1))
    chosen = {"act": "cancel", "orders": {"ids": [str(order.id)]}}
    for answer in (
        await start(browser, **chosen),
        await start(browser, **chosen, dry_run=True),
        await browser.get("/bulk-operations"),
    ):
        assert answer.status == 403
    assert shop.store.jobs == {}


async def test_who_may_not_read_orders_finds_none_by_counting_or_changing_them(shop: Shop) -> None:
    async def let_in(_: object) -> Principal:
        return caller

    order = await shop.order((await shop.sells(), 1))
    browser = Browser(app_over(shop.use_cases, authenticate=let_in))
    found, named = {"user_id": 1}, {"ids": [str(order.id)]}
    caller = Principal("till", scopes=frozenset({Scope.PAYMENTS_WRITE}))
    for more in ({"dry_run": True}, {}):
        assert (await start(browser, act="retry", orders=found, **more)).status == 403
    assert shop.store.jobs == {}
    # Who names an order may pay for it one by one as well.
    assert (await start(browser, act="retry", orders=named)).status == 202

    caller = Principal("ana", scopes=ALL_SCOPES)
    place = (await start(browser, act="cancel", orders=found)).headers["Location"]
    for scopes in ({Scope.ORDERS_WRITE}, {Scope.ORDERS_READ, Scope.PAYMENTS_WRITE}):
        caller = Principal("till", scopes=frozenset(scopes))
        assert (await browser.get(place)).status == 403
        assert (await browser.get(f"{place}/results")).status == 403
        assert (await browser.post(f"{place}/stop", {})).status == 403
        assert place.rpartition("/")[2] not in {
            each["job_id"] for each in (await browser.get("/bulk-operations")).body["items"]
        }
    caller = Principal("till", scopes=frozenset({Scope.ORDERS_WRITE, Scope.ORDERS_READ}))
    assert (await browser.post(f"{place}/stop", {})).status == 200
