"""Bulk operations over HTTP: counted, confirmed, run as a job, and told of item by item."""

import json
from typing import Any

import pytest

from application.access.principal import Principal
from application.access.scopes import ALL_SCOPES, CUSTOMER_SCOPES, ROLES, Role, Scope
from application.operations import bulk
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
    digest = counted.body.pop("digest")
    assert (counted.status, counted.body) == (200, {"count": 101, "more": False, "needs_count": True})
    assert shop.store.jobs == {}
    missing = "there are 101 of them: count them with `dry_run`, and send their count and digest"
    for sent, told in (
        ({}, missing),
        ({"count": 101}, missing),
        ({"digest": digest}, missing),
        ({"count": 100, "digest": digest}, "there are 101 of them now"),
        ({"count": 101, "digest": "0" * 32}, "there are 101 of them, and not the same ones any more"),
    ):
        refused = await start(browser, filter=group, **sent)
        assert (refused.code, refused.body["detail"]) == ("count_not_confirmed", told)
    assert shop.store.jobs == {}
    begun = await start(browser, filter=group, count=101, digest=digest)
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
        {"digest": ""},
        {"digest": "x" * 32},
        {"digest": 7},
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
    shown = {name: counted.body[name] for name in ("count", "digest")}
    assert counted.body == {"count": 3, "digest": shown["digest"], "more": False, "needs_count": False}
    begun = await browser.post("/bulk-operations", {**by_filter, **shown})
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


async def test_a_request_is_sent_again_under_its_key(shop: Shop, browser: Browser) -> None:
    order = str((await shop.order((await shop.sells(), 1))).id)
    sent = {"act": "cancel", "orders": {"ids": [order]}, "reason": "a wrong price"}
    first = await browser.post("/bulk-operations", sent, key="monday")
    assert first.status == 202
    await work(shop)
    # The count is no part of the request: it is what was seen before.
    for again in (sent, {**sent, "count": 1}, {**sent, "count": 7}, {**sent, "digest": "0" * 32}):
        answer = await browser.post("/bulk-operations", again, key="monday")
        assert (answer.status, answer.body, answer.headers["Location"]) == (202, first.body, first.headers["Location"])
    assert len(shop.store.jobs) == 1
    for other in ({**sent, "reason": "another"}, {**sent, "orders": {"user_id": 1}}, {"act": "replay"}):
        assert (await browser.post("/bulk-operations", other, key="monday")).code == "idempotency_key_reused"
    other = (("X-Idempotency-Key", "monday"),)
    assert (await browser.send("POST", "/bulk-operations", json.dumps(sent).encode(), more=other)).body == first.body
    assert (await browser.post("/bulk-operations", sent)).body != first.body


async def test_a_filter_under_a_key_is_the_same_however_it_is_written(shop: Shop, browser: Browser) -> None:
    await shop.order((await shop.sells(), 1))
    bodies = [
        {"status": ["PENDING", "FAILED"], "placed_before": "2031-01-01T00:00:00Z", "user_id": 1},
        {"user_id": 1, "placed_before": "2031-01-01T01:00:00+01:00", "status": ["FAILED", "PENDING"]},
    ]
    under = [
        await browser.post("/bulk-operations", {"act": "cancel", "orders": each, "reason": "x"}, key="monday")
        for each in bodies
    ]
    assert [answer.status for answer in under] == [202, 202]
    assert under[0].body == under[1].body


async def test_a_key_that_is_none_starts_nothing(shop: Shop, browser: Browser) -> None:
    order = str((await shop.order((await shop.sells(), 1))).id)
    sent = {"act": "cancel", "orders": {"ids": [order]}, "reason": "x"}
    for bad in ("", "x" * 256, "\u00e9"):
        for body in (sent, {**sent, "dry_run": True}):
            assert (await browser.post("/bulk-operations", body, key=bad)).code == "invalid_request", bad
    stop = f"/bulk-operations/{order}/stop"
    assert (await browser.post(stop, {}, key="monday")).code == "invalid_header"
    assert shop.store.jobs == {}


async def test_a_key_is_the_shop_s_and_not_that_of_one_api_key(shop: Shop) -> None:
    async def let_in(_: object) -> Principal:
        return caller

    order = await shop.order((await shop.sells(), 1))
    browser = Browser(app_over(shop.use_cases, authenticate=let_in))
    sent = {"act": "cancel", "orders": {"user_id": 1}, "reason": "x"}
    caller = Principal("ana", scopes=ALL_SCOPES)
    first = await browser.post("/bulk-operations", sent, key="monday")
    caller = Principal("ben", scopes=frozenset({Scope.ORDERS_WRITE, Scope.ORDERS_READ}))
    assert (await browser.post("/bulk-operations", sent, key="monday")).body == first.body
    # Who may not start it learns nothing of it.
    for scopes in ({Scope.ORDERS_WRITE}, {Scope.PAYMENTS_WRITE, Scope.ORDERS_READ}):
        caller = Principal("eve", scopes=frozenset(scopes))
        assert (await browser.post("/bulk-operations", sent, key="monday")).status == 403
    caller = Principal("eve", user_id=UserId(1), scopes=CUSTOMER_SCOPES)
    assert (await browser.post("/bulk-operations", sent, key="monday")).status == 403
    assert (await shop.now(order)).status.value == "PENDING"


async def test_a_filter_that_is_too_wide_is_refused(
    shop: Shop, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MOST_LOOKED_THROUGH", 1)
    monkeypatch.setattr(bulk, "_STRETCH", 1)
    for _ in range(2):
        await shop.order((await shop.sells(), 1))
    for more in ({}, {"dry_run": True}):
        refused = await start(browser, act="cancel", orders={"total_min": 10**9}, **more)
        assert (refused.status, refused.code) == (422, "filter_too_wide")
        assert [each["pointer"] for each in refused.body["errors"]] == ["/orders"]
