import json
import re
from collections.abc import Sequence
from uuid import UUID

import pytest
from attrs import evolve
from quart import Quart

from application.assembly.use_cases import UseCases
from application.errors import Aborted, Unavailable
from application.execution.idempotency import KeyInFlight
from domain.ids import OrderId
from domain.orders.order import Order
from entrypoints.http.headers import IDEMPOTENCY_KEY
from entrypoints.http.routes.route import Route
from tests.http.browser import Answer, Browser, app_over
from tests.unit.shop import Shop
from tests.unit.unsteady import Trouble
from tests.unit.webhooks import Webhooks

ORDER = {"user_id": 1, "items": [{"product_id": 1, "quantity": 2}]}


def same(one: Answer, other: Answer) -> bool:
    """The response without the header that says it is replayed, and without the id of its own request."""
    own = {"idempotent-replayed", "request-id"}
    headers = [
        [(name, value) for name, value in answer.headers.items() if name.lower() not in own] for answer in (one, other)
    ]
    bodies = [{**answer.body, "request_id": None} for answer in (one, other)]
    return (one.status, bodies[0], headers[0]) == (other.status, bodies[1], headers[1])


async def test_a_repeated_request_gets_the_stored_response_and_is_told_so(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    first = await browser.post("/orders", ORDER, key="monday")
    again = await browser.post("/orders", ORDER, key="monday")
    assert first.status == 201
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == f"/orders/{first.body['order_id']}"
    assert same(first, again)
    assert len(shop.store.orders) == 1


# What is asked for at each address that takes a key. `{order}` and `{endpoint}` are there.
UNDER_A_KEY: dict[str, bytes] = {
    "/orders": json.dumps(ORDER).encode(),
    "/orders/{order}/pay": b"",
    "/orders/{order}/messages": b'{"content": "Where is it?"}',
    "/products": b'{"name": "Ink", "price": 399, "currency": "EUR"}',
    "/products/1/stock": b'{"delta": 2, "reason": "delivery"}',
    "/carts/1/order": b"",
    "/messages": b'{"content": "Hello"}',
    "/exports": b'{"what": "orders"}',
    "/imports?what=products": b'{"name": "Pen", "price": 1, "currency": "EUR", "sku": "P"}\n',
    "/admin/seed": b'{"count": 1}',
    "/bulk-operations": b'{"act": "cancel", "orders": {"user_id": 1}, "reason": "x"}',
    "/webhook-endpoints/{endpoint}/recover": b'{"since": "2026-01-01T00:00:00Z"}',
}


async def test_every_address_that_takes_a_key_says_when_it_answers_again(
    shop: Shop, browser: Browser, app: Quart
) -> None:
    routes: list[Route] = list(app.routes.values())  # type: ignore[attr-defined]
    taking = {re.sub(r"<\w+>", "", r.path) for r in routes if IDEMPOTENCY_KEY in r.honours and r.wording is None}
    assert {re.sub(r"\?.*|{\w+}|\b1\b", "", path) for path in UNDER_A_KEY} == taking
    named = {
        "order": str((await shop.order((await shop.sells(), 1))).id),
        "endpoint": str(await Webhooks(shop).add()),
    }
    assert (await browser.send("PUT", "/carts/1/items/1", b'{"quantity": 1}')).status == 200
    for address, body in UNDER_A_KEY.items():
        path = address.format(**named)
        type_ = "application/x-ndjson" if path.startswith("/imports") else "application/json"
        first, again, third = [
            await browser.send("POST", path, body, content_type=type_, keys=[f"monday {path}"]) for _ in range(3)
        ]
        assert first.status in {200, 201, 202}, (path, first.body)
        assert "Idempotent-Replayed" not in first.headers, path
        for other in (again, third):
            assert other.headers.get("Idempotent-Replayed") == "true", path
            assert same(first, other), path
        fresh = await browser.send("POST", path, body, content_type=type_, keys=[f"tuesday {path}"])
        assert "Idempotent-Replayed" not in fresh.headers, path


async def test_the_answer_is_the_first_one_though_the_order_has_gone_on(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    first = await browser.post("/orders", ORDER, key="monday")
    assert (await browser.delete(f"/orders/{first.body['order_id']}")).status == 204
    assert same(first, await browser.post("/orders", ORDER, key="monday"))


async def test_a_refusal_is_repeated_word_for_word(shop: Shop, browser: Browser) -> None:
    first = await browser.post("/orders", ORDER, key="monday")
    await shop.sells()
    again = await browser.post("/orders", ORDER, key="monday")
    assert (first.status, first.code) == (422, "unknown_product")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert same(first, again)
    assert (await browser.post("/orders", ORDER, key="tuesday")).status == 201


async def test_a_refusal_names_all_that_is_wrong_and_so_does_its_repetition(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    order = {"user_id": 1, "items": [{"product_id": number, "quantity": 1} for number in (8, 1, 9)]}
    first = await browser.post("/orders", order, key="monday")
    again = await browser.post("/orders", order, key="monday")
    assert first.errors == {
        "/items/0/product_id": "there is no product 8",
        "/items/2/product_id": "there is no product 9",
    }
    assert again.headers["Idempotent-Replayed"] == "true"
    assert same(first, again)


async def test_another_body_under_the_key_is_refused(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    await browser.post("/orders", ORDER, key="monday")
    other = await browser.post("/orders", {"user_id": 1, "items": [{"product_id": 1, "quantity": 3}]}, key="monday")
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    assert "Idempotency-Key" in other.body["title"]
    assert len(shop.store.orders) == 1


@pytest.mark.parametrize(
    "spelling",
    [
        b'{"items": [{"quantity":2,  "product_id":1}], "user_id": 1}\n',
        b'{"user_id":1,"items":[{"product_id":1,"quantity":2}]}',
        b'{"user_\\u0069d":1,"items":[{"product_id":1,"quantity":2}]}',
    ],
)
async def test_the_same_json_spelt_in_another_way_is_the_same_body(
    shop: Shop, browser: Browser, spelling: bytes
) -> None:
    await shop.sells()
    first = await browser.post("/orders", ORDER, key="monday")
    assert same(first, await browser.send("POST", "/orders", spelling, keys=["monday"]))


async def test_each_customer_has_keys_of_her_own(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    hers = await browser.post("/orders", ORDER, key="monday")
    his = await browser.post("/orders", {**ORDER, "user_id": 2}, key="monday")
    assert (hers.status, his.status) == (201, 201)
    assert hers.body["order_id"] != his.body["order_id"]


@pytest.mark.parametrize(("first_body", "second_body"), [(b"", b""), (b"", b"{}"), (b" {} ", b"")])
async def test_a_payment_is_asked_for_once_under_a_key(
    shop: Shop, browser: Browser, first_body: bytes, second_body: bytes
) -> None:
    await shop.sells()
    order = await browser.order()
    address = f"/orders/{order['order_id']}/pay"
    first = await browser.send("POST", address, first_body, keys=["monday"])
    shop.provider.declines = True
    events = await shop.history(shop.store.orders[OrderId(UUID(order["order_id"]))])
    await shop.process_payment([events[-1]])
    again = await browser.send("POST", address, second_body, keys=["monday"])
    assert (first.status, first.body["status"]) == (202, "PROCESSING")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert same(first, again)
    assert len(shop.store.payments) == 1


async def test_each_order_has_keys_of_its_own(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    for order in (await browser.order(), await browser.order()):
        answer = await browser.send("POST", f"/orders/{order['order_id']}/pay", keys=["monday"])
        assert answer.body["order_id"] == order["order_id"]


async def test_a_payment_that_was_refused_stays_refused_under_the_key(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    order = await browser.order()
    await browser.patch(f"/orders/{order['order_id']}/status", {"status": "CANCELLED"})
    answers = [await browser.send("POST", f"/orders/{order['order_id']}/pay", keys=["monday"]) for _ in range(2)]
    assert [(answer.status, answer.code) for answer in answers] == [(409, "illegal_transition")] * 2
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    assert same(*answers)


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("error", [Unavailable("the database is gone"), TimeoutError("too slow")])
async def test_what_may_pass_is_not_the_answer(
    shop: Shop, browser: Browser, error: Exception, *, committed: bool
) -> None:
    await shop.sells()
    shop.unsteady.to_come.append(Trouble(error, committed=committed))
    failed = await browser.post("/orders", ORDER, key="monday")
    retry = await browser.post("/orders", ORDER, key="monday")
    assert (failed.status, retry.status) == (503, 201)
    assert "Idempotent-Replayed" not in failed.headers
    # If the commit happened and only its answer was lost, this is the lost response.
    assert ("Idempotent-Replayed" in retry.headers) is committed
    assert len(shop.store.orders) == 1


async def test_a_transaction_that_was_rolled_back_is_tried_again_under_the_same_key(
    shop: Shop, browser: Browser
) -> None:
    await shop.sells()
    shop.unsteady.to_come.append(Trouble(Aborted("deadlock")))
    answer = await browser.post("/orders", ORDER, key="monday")
    assert answer.status == 201
    assert "Idempotent-Replayed" not in answer.headers


async def test_a_key_in_flight_is_worth_another_try(use_cases: UseCases) -> None:
    async def busy(_by: object, _: object) -> Order:
        raise KeyInFlight("a request under this key is being worked on")

    browser = Browser(app_over(evolve(use_cases, place_order=busy)))
    answer = await browser.post("/orders", ORDER, key="monday")
    assert (answer.status, answer.code) == (409, "idempotency_key_in_flight")
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    "keys", [[""], [" "], ["k" * 256], ["Füller"], ["a\tb"], ["a\x00b"], ["\x7f"], ["a", "a"], ["a", "b"]], ids=ascii
)
async def test_a_key_that_is_none_is_refused_and_named(shop: Shop, browser: Browser, keys: Sequence[str]) -> None:
    await shop.sells()
    order = await browser.order()
    for path, body in (("/orders", json.dumps(ORDER).encode()), (f"/orders/{order['order_id']}/pay", b"")):
        answer = await browser.send("POST", path, body, keys=keys)
        assert (answer.status, answer.code) == (422, "invalid_request")
        assert list(answer.errors) == ["Idempotency-Key"]
    assert len(shop.store.orders) == 1


async def test_a_key_may_be_long_and_of_any_printable_characters(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    for key in ("k" * 255, "".join(map(chr, range(33, 127))), "two words"):
        assert (await browser.post("/orders", ORDER, key=key)).status == 201
        assert "Idempotent-Replayed" in (await browser.post("/orders", ORDER, key=f" {key} ")).headers
