from datetime import timedelta
from urllib.parse import urlencode
from uuid import UUID

import pytest

from domain.ids import OrderId
from tests.http.browser import Browser
from tests.unit.shop import Shop

UNKNOWN_ADDRESS = "/orders/01890a5d-ac96-774b-bcce-b302099a8057"


async def pay(shop: Shop, order_id: str) -> None:
    """What the worker does."""
    order = shop.store.orders[OrderId(UUID(order_id))]
    request = await shop.ask_for_payment(order)
    assert await shop.process_payment([request]) == [None]


async def refund(shop: Shop, order_id: str) -> None:
    """What the worker does when a refund was asked for."""
    order = shop.store.orders[OrderId(UUID(order_id))]
    request = await shop.refund_requested(order)
    assert await shop.refund_order([request]) == [None]


async def test_an_order_is_answered_with_its_price_and_its_address(shop: Shop, browser: Browser) -> None:
    pen = await shop.sells(price=1250)
    ink = await shop.sells(price=399)
    answer = await browser.post(
        "/orders",
        {"user_id": 7, "items": [{"product_id": pen.id, "quantity": 2}, {"product_id": ink.id, "quantity": 1}]},
    )
    order_id = answer.body["order_id"]
    assert answer.status == 201
    assert answer.headers["Location"] == f"/orders/{order_id}"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body == {
        "order_id": order_id,
        "user_id": 7,
        "status": "PENDING",
        "total_price": 2899,
        "currency": "EUR",
        "items": [
            {"product_id": 1, "quantity": 2, "unit_price": 1250},
            {"product_id": 2, "quantity": 1, "unit_price": 399},
        ],
        "failure_reason": None,
        "out_of_stock": [],
        "refund_requested": False,
        "created_at": "2026-03-01T12:00:00Z",
        "updated_at": "2026-03-01T12:00:00Z",
        "version": 1,
        "external_id": None,
        "email": None,
        "shipping_address": None,
        "billing_address": None,
        "note": None,
        "metadata": {},
        "payment_method": None,
    }
    assert (await browser.get(f"/orders/{order_id}")).body == answer.body


async def test_an_order_is_placed_and_its_payment_requested_in_one_request(shop: Shop, browser: Browser) -> None:
    pen = await shop.sells()
    item = {"product_id": pen.id, "quantity": 1}
    wanted = {"user_id": 7, "items": [item, item], "pay": True}
    answer, again = [await browser.post("/orders", wanted, key="now") for _ in range(2)]
    order = answer.body
    assert (answer.status, order["status"], order["version"]) == (201, "PROCESSING", 2)
    assert order["items"] == [{"product_id": pen.id, "quantity": 2, "unit_price": 1250}]
    assert (again.status, again.body) == (201, order)
    other = await browser.post("/orders", wanted | {"pay": False}, key="now")
    assert (other.status, other.code) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("auth0|Zoë", "auth0|Zoë"),
        ("7", 7),
        (2**53 - 1, 2**53 - 1),
        (2**53, str(2**53)),
        (str(2**63 - 1), str(2**63 - 1)),
    ],
)
async def test_a_customer_is_a_number_or_a_name_and_a_large_number_is_a_string_in_json(
    shop: Shop, browser: Browser, sent: int | str, shown: int | str
) -> None:
    pen = await shop.sells()
    wanted = {"user_id": sent, "items": [{"product_id": pen.id, "quantity": 1}]}
    answer = await browser.post("/orders", wanted, key="now")
    assert answer.body["user_id"] == shown
    again = await browser.post("/orders", wanted | {"user_id": shown}, key="now")
    assert (again.status, again.body) == ((201, answer.body) if sent == shown else (422, again.body))
    listed = await browser.get(f"/orders?{urlencode({'user_id': shown})}")
    assert listed.body["items"] == [answer.body]
    history = await browser.get(f"/orders/{answer.body['order_id']}/events")
    assert history.body["items"][0]["data"]["user_id"] == shown


async def test_a_timeline_says_whose_turn_it_is_and_how_it_came_to_that(shop: Shop, browser: Browser) -> None:
    pen = await shop.sells()
    placed = await browser.post("/orders", {"user_id": 7, "items": [{"product_id": pen.id, "quantity": 1}]})
    path = f"/orders/{placed.body['order_id']}"
    shop.clock.forward(timedelta(seconds=90))
    await browser.post(f"{path}/pay", {})
    timeline = await browser.get(f"{path}/timeline")
    assert timeline.status == 200
    assert {name: timeline.body[name] for name in ("order_id", "status", "version", "waits_for", "because")} == {
        "order_id": placed.body["order_id"],
        "status": "PROCESSING",
        "version": 2,
        "waits_for": "relay",
        "because": "its request waits in the outbox",
    }
    assert [(step["what"], step["seconds"]) for step in timeline.body["steps"]] == [
        ("order.placed", 0),
        ("order.payment_requested", 90),
    ]
    [placed_step, _] = timeline.body["steps"]
    assert (placed_step["kind"], placed_step["legs"], placed_step["delivery_id"]) == ("event", [], None)
    await shop.use_cases.give_positions()
    [placed_step, _] = (await browser.get(f"{path}/timeline")).body["steps"]
    assert placed_step["legs"] == [{"name": "feed", "seconds": 90}]
    assert (await browser.get(f"{UNKNOWN_ADDRESS}/timeline")).status == 404


async def test_what_is_wrong_with_an_order_is_named(shop: Shop, browser: Browser) -> None:
    pen = await shop.sells()
    sake = await shop.sells(currency="JPY")
    a_pen, some_sake = {"product_id": pen.id, "quantity": 1}, {"product_id": sake.id, "quantity": 1}
    unknown = await browser.post("/orders", {"user_id": 1, "items": [a_pen, {"product_id": 9, "quantity": 1}]})
    many = [a_pen | {"quantity": 1_000_000}, a_pen]
    twice = await browser.post("/orders", {"user_id": 1, "items": many})
    mixed = await browser.post("/orders", {"user_id": 1, "items": [a_pen, some_sake]})
    assert (unknown.status, unknown.code) == (422, "unknown_product")
    assert unknown.errors == {"/items/1/product_id": "there is no product 9"}
    assert (twice.status, twice.code, list(twice.errors)) == (422, "invalid_order", ["/items/1/quantity"])
    assert (mixed.status, mixed.code, list(mixed.errors)) == (422, "currency_mismatch", ["/items"])
    assert (await browser.get("/orders")).body["items"] == []


async def test_a_total_that_can_not_be_counted_exactly_is_refused(shop: Shop, browser: Browser) -> None:
    dear = await shop.sells(price=2**53 - 1)
    answer = await browser.post("/orders", {"user_id": 1, "items": [{"product_id": dear.id, "quantity": 2}]})
    assert (answer.status, answer.code) == (422, "invalid_amount")


@pytest.mark.parametrize("address", ["", "/events"])
async def test_an_order_that_does_not_exist_is_not_found(browser: Browser, address: str) -> None:
    answer = await browser.get(UNKNOWN_ADDRESS + address)
    assert (answer.status, answer.code) == (404, "unknown_order")


async def test_nothing_can_be_done_to_an_order_that_does_not_exist(browser: Browser) -> None:
    for answer in (
        await browser.send("POST", f"{UNKNOWN_ADDRESS}/pay"),
        await browser.patch(f"{UNKNOWN_ADDRESS}/status", {"status": "CANCELLED"}),
        await browser.delete(UNKNOWN_ADDRESS),
    ):
        assert (answer.status, answer.code) == (404, "unknown_order")


@pytest.mark.parametrize("body", [b"", b"{}", b" {}\n"])
async def test_paying_is_accepted_until_the_worker_has_the_money(shop: Shop, browser: Browser, body: bytes) -> None:
    await shop.sells()
    address = f"/orders/{(await browser.order())['order_id']}"
    asked = await browser.send("POST", f"{address}/pay", body, content_type=None)
    again = await browser.send("POST", f"{address}/pay", body, content_type=None)
    assert (asked.status, asked.body["status"], asked.body["version"]) == (202, "PROCESSING", 2)
    assert (again.status, again.body) == (202, asked.body)


async def test_an_order_that_is_paid_for_is_not_paid_for_again(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    order_id = (await browser.order())["order_id"]
    await pay(shop, order_id)
    paid = await browser.send("POST", f"/orders/{order_id}/pay")
    assert (paid.status, paid.body["status"]) == (200, "PAID")
    await browser.patch(f"/orders/{order_id}/status", {"status": "COMPLETED"})
    completed = await browser.send("POST", f"/orders/{order_id}/pay")
    assert (completed.status, completed.body["status"]) == (200, "COMPLETED")
    assert len(shop.store.payments) == 1


async def test_a_failed_payment_says_why_and_may_be_tried_again(shop: Shop, browser: Browser) -> None:
    await shop.sells(stock=1)
    order_id = (await browser.order(quantity=2))["order_id"]
    await pay(shop, order_id)
    failed = await browser.get(f"/orders/{order_id}")
    assert (failed.body["status"], failed.body["failure_reason"]) == ("FAILED", "out_of_stock")
    again = await browser.send("POST", f"/orders/{order_id}/pay")
    assert (again.status, again.body["status"], again.body["failure_reason"]) == (202, "PROCESSING", None)


async def test_a_cancelled_order_is_not_paid_for(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    order_id = (await browser.order())["order_id"]
    cancelled = await browser.patch(f"/orders/{order_id}/status", {"status": "CANCELLED"})
    assert (cancelled.status, cancelled.body["status"]) == (200, "CANCELLED")
    answer = await browser.send("POST", f"/orders/{order_id}/pay")
    assert (answer.status, answer.code) == (409, "illegal_transition")
    assert "CANCELLED" in answer.body["detail"]
    assert "PROCESSING" in answer.body["detail"]


async def test_a_refund_is_accepted_until_the_worker_has_given_it(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    order_id = (await browser.order())["order_id"]
    await pay(shop, order_id)
    asked = await browser.patch(f"/orders/{order_id}/status", {"status": "REFUNDED"})
    assert (asked.status, asked.body["status"], asked.body["refund_requested"]) == (202, "PAID", True)
    await refund(shop, order_id)
    given = await browser.patch(f"/orders/{order_id}/status", {"status": "REFUNDED"})
    assert (given.status, given.body["status"]) == (200, "REFUNDED")
    again = await browser.patch(f"/orders/{order_id}/status", {"status": "REFUNDED"})
    assert (again.status, again.body) == (given.status, given.body)
    completing = await browser.patch(f"/orders/{order_id}/status", {"status": "COMPLETED"})
    assert (completing.status, completing.body["detail"]) == (409, "REFUNDED cannot become COMPLETED")
    paying = await browser.send("POST", f"/orders/{order_id}/pay")
    assert (paying.status, paying.code) == (409, "illegal_transition")


@pytest.mark.parametrize("status", ["CANCELLED", "COMPLETED"])
async def test_a_move_that_was_made_already_is_answered_like_the_first(
    shop: Shop, browser: Browser, status: str
) -> None:
    await shop.sells()
    order_id = (await browser.order())["order_id"]
    if status == "COMPLETED":
        await pay(shop, order_id)
    first = await browser.patch(f"/orders/{order_id}/status", {"status": status})
    again = await browser.patch(f"/orders/{order_id}/status", {"status": status})
    assert (first.status, again.status, again.body) == (200, 200, first.body)


async def test_a_move_that_the_status_does_not_allow_is_answered_with_both(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    order_id = (await browser.order())["order_id"]
    for status in ("COMPLETED", "REFUNDED"):
        answer = await browser.patch(f"/orders/{order_id}/status", {"status": status})
        assert (answer.status, answer.code) == (409, "illegal_transition")
        assert answer.body["detail"] == f"PENDING cannot become {status}"


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING", "PAID", "FAILED", "EXPIRED", "paid", "", "LOST", "a:b"])
async def test_only_three_moves_are_made_by_hand(shop: Shop, browser: Browser, status: str) -> None:
    await shop.sells()
    order_id = (await browser.order())["order_id"]
    answer = await browser.patch(f"/orders/{order_id}/status", {"status": status})
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.errors == {"/status": "it can be set to CANCELLED, COMPLETED, REFUNDED; the service sets the others"}


async def test_an_order_that_was_never_paid_for_can_be_deleted(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    order_id = (await browser.order())["order_id"]
    deleted = await browser.delete(f"/orders/{order_id}")
    assert (deleted.status, deleted.body) == (204, None)
    assert "Content-Type" not in deleted.headers
    assert (await browser.get(f"/orders/{order_id}")).status == 404
    again = await browser.delete(f"/orders/{order_id}")
    assert (again.status, again.body) == (204, None)
    assert (await browser.get("/orders")).body == {"items": [], "next": None}


async def test_an_order_that_is_being_paid_for_can_not_be_deleted(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    order_id = (await browser.order())["order_id"]
    await browser.send("POST", f"/orders/{order_id}/pay")
    answer = await browser.delete(f"/orders/{order_id}")
    assert (answer.status, answer.code) == (409, "illegal_transition")


async def test_the_history_tells_what_happened_and_when(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    order_id = (await browser.order(user_id=7))["order_id"]
    await pay(shop, order_id)
    [payment_id] = shop.store.payments
    answer = await browser.get(f"/orders/{order_id}/events")
    money = {"payment_id": str(payment_id), "amount": 2500, "currency": "EUR"}
    items = [{"product_id": 1, "quantity": 2, "unit_price": 1250}]
    assert answer.status == 200
    assert [(event["sequence"], event["type"], event["data"]) for event in answer.body["items"]] == [
        (1, "order.placed", {"user_id": 7, "items": items, "total_price": 2500, "currency": "EUR"}),
        (2, "order.payment_requested", money),
        (3, "order.stock_reserved", {}),
        (4, "order.paid", money),
    ]
    assert {event["time"] for event in answer.body["items"]} == {"2026-03-01T12:00:00Z"}


async def test_the_history_of_a_failure_tells_the_reason(shop: Shop, browser: Browser) -> None:
    await shop.sells(stock=1)
    order_id = (await browser.order(quantity=2))["order_id"]
    await pay(shop, order_id)
    [payment_id] = shop.store.payments
    last = (await browser.get(f"/orders/{order_id}/events")).body["items"][-1]
    assert (last["type"], last["data"]) == (
        "order.failed",
        {"payment_id": str(payment_id), "reason": "out_of_stock", "out_of_stock": [1]},
    )
