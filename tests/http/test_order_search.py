from typing import Any
from urllib.parse import urlencode

import pytest

from tests.http.browser import Answer, Browser
from tests.unit.shop import Shop

PEN = [{"product_id": 1, "quantity": 1}]


async def placed(browser: Browser, **details: Any) -> str:
    wanted = {"user_id": 1, "items": PEN} | details
    answer = await browser.post("/orders", wanted)
    assert answer.status == 201, answer
    return str(answer.body["order_id"])


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    return [order["order_id"] for order in answer.body["items"]]


@pytest.fixture
async def orders(shop: Shop, browser: Browser) -> dict[str, str]:
    for price in (1250, 300):
        await shop.sells(price=price)
    ink = [{"product_id": 2, "quantity": 1}]
    return {
        "plain": await placed(browser),
        "named": await placed(browser, external_id="Nr. 7", user_id="auth0|Zoë"),
        "mailed": await placed(browser, email="Ana@Example.org", items=ink),
        "paid": await placed(
            browser, pay=True, items=[{"product_id": 1, "quantity": 1}, *ink], email="ana@example.org"
        ),
    }


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"external_id": "Nr. 7"}, "named"),
        ({"external_id": "Nr. 8"}, ""),
        ({"email": "ana@EXAMPLE.org"}, "paid mailed"),
        ({"product_id": "2"}, "paid mailed"),
        ({"product_id": "2", "user_id": "1", "status": "PENDING"}, "mailed"),
        ({"user_id": "auth0|Zoë", "total_min": "1"}, "named"),
        ({"total_min": "300", "total_max": "1250"}, "mailed named plain"),
        ({"total_min": "1251"}, "paid"),
        ({"placed_after": "2026-03-01T12:00:00Z"}, "paid mailed named plain"),
        (
            {"placed_after": "2026-03-01T13:00:00+01:00", "placed_before": "2026-03-01T12:00:01Z"},
            "paid mailed named plain",
        ),
        ({"placed_before": "2026-03-01T12:00:00Z"}, ""),
        ({"placed_after": "0001-01-01T00:00:00+14:00"}, "paid mailed named plain"),
        ({"placed_before": "9999-12-31T23:59:59-14:00"}, "paid mailed named plain"),
        ({"q": "Nr. 7"}, "named"),
        ({"q": "ANA@example.org", "status": "PROCESSING"}, "paid"),
        ({"q": "01890a5d-ac96-774b-bcce-b302099a8057"}, ""),
    ],
)
async def test_orders_are_found_by_what_is_sent(
    orders: dict[str, str], browser: Browser, parameters: dict[str, str], expected: str
) -> None:
    answer = await browser.get(f"/orders?{urlencode(parameters)}")
    assert ids(answer) == [orders[name] for name in expected.split()]
    assert answer.body["next"] is None


async def test_an_order_is_found_by_its_id(orders: dict[str, str], browser: Browser) -> None:
    assert ids(await browser.get(f"/orders?q={orders['plain']}")) == [orders["plain"]]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "paid mailed named plain"),
        ({"status": ["PROCESSING", "PAID"]}, "paid"),
        ({"status": ["PROCESSING", "PENDING"], "product_id": [2, 99]}, "paid mailed"),
        ({"user_id": "auth0|Zoë", "external_id": "Nr. 7", "total_max": 1250}, "named"),
        ({"email": "ana@example.org", "placed_before": "2026-03-01T12:00:01Z"}, "paid mailed"),
    ],
)
async def test_combinations_are_searched_for_with_a_body(
    orders: dict[str, str], browser: Browser, body: dict[str, Any], expected: str
) -> None:
    assert ids(await browser.post("/orders/search", body)) == [orders[name] for name in expected.split()]


async def test_a_search_goes_on_where_it_ended_and_its_cursor_belongs_to_it(
    orders: dict[str, str], browser: Browser
) -> None:
    first = await browser.get("/orders?product_id=2&limit=1")
    second = await browser.get(f"/orders?product_id=2&limit=1&cursor={first.body['next']}")
    assert (ids(first), ids(second), second.body["next"]) == ([orders["paid"]], [orders["mailed"]], None)
    assert 'rel="next"' in first.headers["Link"]
    for other in ("/orders?", "/orders?product_id=1&", "/orders?product_id=2&total_min=0&"):
        refused = await browser.get(f"{other}cursor={first.body['next']}")
        assert (refused.status, refused.wrong) == (400, ["cursor"])
    body = {"product_id": [2], "limit": 1}
    again = await browser.post("/orders/search", body | {"cursor": first.body["next"]})
    assert ids(again) == [orders["mailed"]]
    refused = await browser.post("/orders/search", body | {"cursor": "x"})
    assert (refused.status, refused.wrong) == (400, ["/cursor"])


async def test_an_order_is_found_as_it_is_now(orders: dict[str, str], browser: Browser) -> None:
    address = "/orders?email=ana@example.org&status=PENDING"
    assert ids(await browser.get(address)) == [orders["mailed"]]
    await browser.patch(f"/orders/{orders['mailed']}/status", {"status": "CANCELLED"})
    assert ids(await browser.get(address)) == []


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("product_id=0", "product_id"),
        ("product_id=pen", "product_id"),
        ("external_id=", "external_id"),
        ("external_id=%00", "external_id"),
        ("external_id=%FF", "external_id"),
        (f"external_id={'x' * 129}", "external_id"),
        ("email=ana", "email"),
        ("email=%00@b.at", "email"),
        ("placed_after=today", "placed_after"),
        ("placed_before=2026-01-01", "placed_before"),
        ("placed_before=2026-01-01T00:00:00", "placed_before"),
        ("total_min=-1", "total_min"),
        ("total_max=1.5", "total_max"),
        ("total_max=9007199254740992", "total_max"),
        ("q=", "q"),
        ("q=%00", "q"),
        ("q=a&external_id=b", "q"),
        ("q=a@b.at&email=a@b.at", "q"),
    ],
)
async def test_a_parameter_that_can_not_be_searched_for_is_named(browser: Browser, query: str, name: str) -> None:
    answer = await browser.get(f"/orders?{query}")
    assert (answer.status, answer.wrong) == (422, [name])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"status": "PAID"}, "/status"),
        ({"status": ["SENT"]}, "/status/0"),
        ({"product_id": [0]}, "/product_id/0"),
        ({"user_id": "a\n"}, "/user_id"),
        ({"placed_after": "2026-01-01T00:00:00"}, "/placed_after"),
        ({"total_min": -1}, "/total_min"),
        ({"limit": 201}, "/limit"),
        ({"q": "a"}, "/q"),
    ],
)
async def test_a_body_that_can_not_be_searched_with_is_refused(
    browser: Browser, body: dict[str, Any], pointer: str
) -> None:
    answer = await browser.post("/orders/search", body)
    assert (answer.status, answer.wrong) == (422, [pointer])
