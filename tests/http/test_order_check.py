from typing import Any

import pytest
from attrs import evolve

from domain.money import Money
from tests.http.browser import Browser
from tests.http.test_orders import pay, refund
from tests.unit.intakes import Intakes
from tests.unit.shop import Shop, a_request

UNKNOWN = "/orders/01890a5d-ac96-774b-bcce-b302099a8057"


def item(product_id: int = 1, quantity: int = 1, **more: Any) -> dict[str, Any]:
    return {"product_id": product_id, "quantity": quantity} | more


async def test_an_order_is_checked_and_not_placed(shop: Shop, browser: Browser) -> None:
    await shop.sells(stock=3, price=1250)
    await shop.sells(stock=1, price=300)
    answer = await browser.post("/orders/check", {"items": [item(1, 2), item(2, 2), item(1, 1, unit_price=1250)]})
    assert (answer.status, answer.body) == (
        200,
        {
            "total_price": 4350,
            "currency": "EUR",
            "in_stock": False,
            "items": [
                {"product_id": 1, "quantity": 3, "unit_price": 1250, "total_price": 3750, "in_stock": True},
                {"product_id": 2, "quantity": 2, "unit_price": 300, "total_price": 600, "in_stock": False},
            ],
        },
    )
    assert (shop.store.orders, shop.store.outbox) == ({}, {})


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([], (422, "invalid_request", "/items")),
        ([item(0)], (422, "invalid_request", "/items/0/product_id")),
        ([item(unit_price=-1)], (422, "invalid_request", "/items/0/unit_price")),
        ([item(unit_price="1250")], (422, "invalid_request", "/items/0/unit_price")),
        ([item(), item(99)], (422, "unknown_product", "/items/1/product_id")),
        ([item(1, 999_999), item(1, 2)], (422, "invalid_order", "/items/1/quantity")),
        ([item(), item(2)], (422, "currency_mismatch", "/items")),
        ([item(), item(1, 1, unit_price=1300)], (409, "price_changed", "/items/1/unit_price")),
    ],
)
async def test_what_can_not_be_ordered_is_refused_by_the_check_as_by_the_order(
    shop: Shop, browser: Browser, items: list[Any], expected: tuple[int, str, str]
) -> None:
    await shop.sells(price=1250)
    await shop.sells(currency="JPY")
    for path, body in (("/orders/check", {"items": items}), ("/orders", {"user_id": 1, "items": items})):
        answer = await browser.post(path, body)
        assert (answer.status, answer.code, *answer.wrong) == expected
    assert shop.store.orders == {}


async def test_an_order_is_placed_at_the_price_that_was_shown_or_refused_with_both(
    shop: Shop, browser: Browser
) -> None:
    pen = await shop.sells(price=1250)
    wanted = {"user_id": 1, "items": [item(unit_price=1250)]}
    assert (await browser.post("/orders", wanted)).status == 201
    shop.store.products[pen.id].price = Money(1300, "EUR")
    refused = await browser.post("/orders", wanted)
    assert (refused.status, refused.code) == (409, "price_changed")
    assert "1300 EUR now, and 1250 EUR was shown" in refused.errors["/items/0/unit_price"]


async def test_without_the_database_the_price_in_memory_counts_and_is_kept(shop: Shop) -> None:
    intakes = Intakes(shop)
    pen = await shop.sells(price=1250)
    await intakes.learn_prices()
    request = a_request((pen, 1))
    shown, other = (
        evolve(request, items=(evolve(request.items[0], unit_price=price),)) for price in (1250, Money(1300, "EUR"))
    )
    queued, refused = await intakes.queue_orders([shop.number(each) for each in (shown, other)])
    assert type(queued).__name__ == "Queued"
    assert type(refused).__name__ == "PriceChanged"
    assert [event.lines[0].unit_price for event in intakes.queue.events] == [Money(1250, "EUR")]


async def test_an_order_is_shown_with_what_expand_asks_for(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    order = await browser.order()
    path = f"/orders/{order['order_id']}"
    plain = await browser.get(f"{path}?expand=payments,refunds")
    assert plain.body == order | {"payments": [], "refunds": []}
    await pay(shop, order["order_id"])
    await refund(shop, order["order_id"])
    answer = await browser.get(f"{path}?expand=events,payments,refunds")
    now = await browser.get(path)
    # The version, and what names the parts.
    assert answer.headers["ETag"].split(";")[0] + '"' == now.headers["ETag"]
    [payment], [given] = answer.body["payments"], answer.body["refunds"]
    assert (payment["status"], payment["amount"], payment["currency"]) == ("REFUNDED", 2500, "EUR")
    assert (given["payment_id"], given["amount"]) == (payment["payment_id"], 2500)
    assert given["refunded_at"]
    assert answer.body["events"] == (await browser.get(f"{path}/events")).body["items"]
    assert {name: answer.body[name] for name in now.body} == now.body


@pytest.mark.parametrize(
    "query", ["expand=", "expand=user", "expand=events,", "expand=events&expand=events", "expnd=events"]
)
async def test_only_what_is_in_the_list_is_expanded(shop: Shop, browser: Browser, query: str) -> None:
    await shop.sells()
    order = await browser.order()
    answer = await browser.get(f"/orders/{order['order_id']}?{query}")
    assert (answer.status, answer.code) == (422, "invalid_request")


async def test_an_order_that_is_not_there_is_not_expanded(browser: Browser) -> None:
    answer = await browser.get(f"{UNKNOWN}?expand=events")
    assert (answer.status, answer.code) == (404, "unknown_order")
