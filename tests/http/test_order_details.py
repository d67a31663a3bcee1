from typing import Any

import pytest

from tests.http.browser import Browser
from tests.unit.shop import Shop

ADDRESS = {
    "name": "Zoë",
    "company": "Ada",
    "line1": "Weg 1",
    "line2": "Hof",
    "city": "Łódź",
    "region": "LD",
    "postal_code": "90-001",
    "country": "PL",
    "phone": "+48 42 000",
}
DETAILS: dict[str, Any] = {
    "external_id": "Nr. 7/2026",
    "email": "Zoe@example.org",
    "shipping_address": ADDRESS,
    "billing_address": {"city": "Wien"},
    "note": "one\ntwo: three",
    "metadata": {"campaign": "x=1", "empty": ""},
    "payment_method": "pm_123",
}
MINIMAL = {"user_id": 7, "items": [{"product_id": 1, "quantity": 1}]}
A_LINE = "x" * 200


def wanted(**details: Any) -> dict[str, Any]:
    return MINIMAL | details


async def test_an_order_is_shown_with_the_details_that_it_was_placed_with(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    answer = await browser.post("/orders", wanted(**DETAILS, pay=True))
    assert (answer.status, answer.body) == (201, answer.body | DETAILS)
    read = await browser.get(f"/orders/{answer.body['order_id']}")
    listed = await browser.get("/orders?user_id=7")
    assert read.body == listed.body["items"][0] == answer.body
    history = await browser.get(f"/orders/{answer.body['order_id']}/events")
    assert history.body["items"][0]["data"] == history.body["items"][0]["data"] | DETAILS


async def test_all_that_an_order_may_have_can_be_as_long_as_it_may_be(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    details = {
        "external_id": "é" * 128,
        "email": "a" * 242 + "@example.org",
        "shipping_address": {**dict.fromkeys(ADDRESS, A_LINE), "country": "AT"},
        "note": "\U0001f58b" * 2000,
        "metadata": {f"{number:040}": "x" * 500 for number in range(50)},
        "payment_method": "p" * 255,
    }
    answer = await browser.post("/orders", wanted(**details))
    assert (answer.status, answer.body) == (201, answer.body | details)


@pytest.mark.parametrize(
    ("details", "pointer"),
    [
        ({"external_id": ""}, "/external_id"),
        ({"external_id": "a\tb"}, "/external_id"),
        ({"external_id": "x" * 129}, "/external_id"),
        ({"external_id": 7}, "/external_id"),
        ({"email": "nobody"}, "/email"),
        ({"email": "a b@example.org"}, "/email"),
        ({"email": "a@b@example.org"}, "/email"),
        ({"email": "zoë@example.org"}, "/email"),
        ({"email": "a" * 250 + "@b.at"}, "/email"),
        ({"shipping_address": "Wien"}, "/shipping_address"),
        ({"shipping_address": {"street": "Weg 1"}}, "/shipping_address/street"),
        ({"shipping_address": {"city": ""}}, "/shipping_address/city"),
        ({"shipping_address": {"city": A_LINE + "x"}}, "/shipping_address/city"),
        ({"billing_address": {"country": "Austria"}}, "/billing_address/country"),
        ({"billing_address": {"country": "at"}}, "/billing_address/country"),
        ({"note": "x" * 2001}, "/note"),
        ({"note": "a\0b"}, "/note"),
        ({"metadata": ["a"]}, "/metadata"),
        ({"metadata": {"a": 1}}, "/metadata"),
        ({"metadata": {"a": None}}, "/metadata"),
        ({"metadata": {"": "a"}}, "/metadata"),
        ({"metadata": {"x" * 41: "a"}}, "/metadata"),
        ({"metadata": {"a": "x" * 501}}, "/metadata"),
        ({"metadata": {str(number): "" for number in range(51)}}, "/metadata"),
        ({"payment_method": ""}, "/payment_method"),
        ({"notes": "a"}, "/notes"),
    ],
)
async def test_details_that_break_a_rule_are_refused_by_their_names(
    shop: Shop, browser: Browser, details: dict[str, Any], pointer: str
) -> None:
    await shop.sells()
    answer = await browser.post("/orders", wanted(**details))
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert [where.removesuffix("/...") for where in answer.wrong] == [pointer]
    assert "regex" not in str(answer.errors)
    assert shop.store.orders == {}


async def test_all_that_is_wrong_is_named_at_once(browser: Browser) -> None:
    details = {"email": "nobody", "shipping_address": {"country": "at", "city": ""}, "note": 7}
    answer = await browser.post("/orders", wanted(**details))
    assert set(answer.wrong) == {"/email", "/shipping_address/country", "/shipping_address/city", "/note"}


async def test_a_member_that_is_written_twice_is_found_in_the_details_too(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    for twice in ('"note":"a","note":"b"', '"metadata":{"a":"b","a":"c"}', '"billing_address":{"city":"a","city":"b"}'):
        body = f'{{"user_id":7,"items":[{{"product_id":1,"quantity":1}}],{twice}}}'
        answer = await browser.send("POST", "/orders", body.encode())
        assert (answer.status, answer.code) == (400, "malformed_body")


async def test_an_external_id_that_is_taken_is_refused(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    first = await browser.post("/orders", wanted(external_id="7"))
    answers = [await browser.post("/orders", wanted(external_id="7"), key="now") for _ in range(2)]
    assert [(answer.status, answer.code) for answer in answers] == [(409, "external_id_taken")] * 2
    assert first.body["order_id"] in answers[0].errors["/external_id"]
    assert (await browser.post("/orders", wanted(external_id="7") | {"user_id": 8})).status == 201


async def test_details_are_changed_one_by_one(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    order = (await browser.post("/orders", wanted(**DETAILS))).body
    path = f"/orders/{order['order_id']}"
    answer = await browser.patch(
        path, {"note": None, "metadata": {"campaign": None, "new": "1"}, "billing_address": {"city": "Graz"}}
    )
    changed = {"note": None, "metadata": {"empty": "", "new": "1"}, "billing_address": {"city": "Graz"}, "version": 2}
    assert (answer.status, answer.headers["ETag"]) == (200, '"v2"')
    assert answer.body == order | changed | {"updated_at": answer.body["updated_at"]}
    assert (await browser.get(path)).body == answer.body
    assert (await browser.patch(path, {})).body == answer.body
    history = (await browser.get(f"{path}/events")).body["items"]
    assert [event["type"] for event in history] == ["order.placed", "order.details_changed"]
    assert history[1]["data"]["billing_address"] == {"city": "Graz"}
    assert "note" not in history[1]["data"]


async def test_details_are_changed_in_the_version_that_the_client_has_read(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    path = f"/orders/{(await browser.order())['order_id']}"
    stale = await browser.send("PATCH", path, b'{"note":"a"}', more=[("If-Match", '"v2"')])
    fresh = await browser.send("PATCH", path, b'{"note":"a"}', more=[("If-Match", '"v1"')])
    assert (stale.status, fresh.status, fresh.body["note"]) == (412, 200, "a")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"email": "a@example.org"}, "/email"),
        ({"external_id": "8"}, "/external_id"),
        ({"status": "PAID"}, "/status"),
        ({"note": 1}, "/note"),
        ({"metadata": {"a": 1}}, "/metadata"),
        ({"shipping_address": {"street": "Weg 1"}}, "/shipping_address/street"),
        ({"metadata": {f"{number}": "" for number in range(51)}}, "/metadata"),
    ],
)
async def test_a_change_that_breaks_a_rule_changes_nothing(
    shop: Shop, browser: Browser, changes: dict[str, Any], pointer: str
) -> None:
    await shop.sells()
    order = await browser.order()
    answer = await browser.patch(f"/orders/{order['order_id']}", {"billing_address": {"city": "Graz"}, **changes})
    assert answer.status == 422
    assert [where.removesuffix("/...") for where in answer.wrong] == [pointer]
    assert (await browser.get(f"/orders/{order['order_id']}")).body == order


async def test_an_order_that_is_not_there_is_not_changed(browser: Browser) -> None:
    answer = await browser.patch("/orders/01890a5d-ac96-774b-bcce-b302099a8057", {"note": "a"})
    assert (answer.status, answer.code) == (404, "unknown_order")
