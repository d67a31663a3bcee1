"""Clients of the shop with products, stock and payments find their requests here, as its document shows them."""

import asyncio
import json
from collections import Counter

import pytest
from quart import Quart

from entrypoints.http.routes.ancestors import shop as entrance
from entrypoints.http.routes.ancestors.entrance import Ancestors
from entrypoints.http.routes.route import Route
from entrypoints.readiness import Readiness
from tests.http.browser import Answer, Browser, app_over
from tests.http.curl import Curl, at_work
from tests.unit.shop import Shop

BASE = "/from/shop"
JSON = "-H 'Content-Type: application/json'"
ADD = (
    f"""curl -X POST http://localhost:8000/products {JSON} -d '{{"name": "$name", "price": $price, "stock": $stock}}'"""
)
PRODUCTS = "curl http://localhost:8000/products"
PLACE = (
    f"curl -X POST http://localhost:8000/orders {JSON}"
    """ -d '{"user_id": 1, "items": [{"product_id": $one, "quantity": 2}, {"product_id": $other, "quantity": 1}]}'"""
)
GET = "curl http://localhost:8000/orders/$order"
PAY = "curl -X POST http://localhost:8000/orders/$order/pay"
PAY_BY_HEADER = f"{PAY} -H 'X-Idempotency-Key: $key'"
PAY_BY_BODY = f"""{PAY} {JSON} -d '{{"idempotency_key": "$key"}}'"""
HEALTH = "curl http://localhost:8000/health"


@pytest.fixture
def app(shop: Shop, readiness: list[Readiness], monkeypatch: pytest.MonkeyPatch) -> Quart:
    # However slow the worker is, its clients hear what came of their payments.
    monkeypatch.setattr(entrance, "_LONGEST", 60.0)
    return app_over(shop.use_cases, readiness=readiness)


@pytest.fixture
def curl(browser: Browser) -> Curl:
    return Curl(browser, BASE)


def json_of(body: object) -> bytes:
    return json.dumps(body).encode()


async def added(curl: Curl, *, price: str = "12.5", stock: int = 10) -> int:
    answer = await curl(ADD, name="pen", price=price, stock=stock)
    assert answer.status == 201, answer
    return int(answer.body["id"])


async def placed(curl: Curl, one: int, other: int) -> str:
    answer = await curl(PLACE, one=one, other=other)
    assert (answer.status, answer.body["status"]) == (201, "PENDING"), answer
    return str(answer.body["order_id"])


async def stock_of(curl: Curl) -> list[int]:
    return [product["stock"] for product in (await curl(PRODUCTS)).body]


async def test_products_are_added_and_listed_with_their_prices_as_people_write_them(
    curl: Curl, browser: Browser
) -> None:
    for price in ("12.5", "0", "19.99", "7", "1e3"):
        await added(curl, price=price, stock=3)
    listed = (await curl(PRODUCTS)).body
    assert all(product.keys() == {"id", "name", "price", "stock", "created_at"} for product in listed)
    assert [(product["name"], product["price"], product["stock"]) for product in listed] == [
        ("pen", price, 3) for price in (12.5, 0, 19.99, 7, 1000)
    ]
    ours = (await browser.get("/products")).body["items"]
    assert [(product["price"], product["currency"]) for product in ours] == [
        (minor, "EUR") for minor in (1250, 0, 1999, 700, 100_000)
    ]


async def test_prices_are_in_the_currency_of_the_shop(shop: Shop) -> None:
    browser = Browser(app_over(shop.use_cases, ancestors=Ancestors(currency="JPY")))
    assert (await browser.post(f"{BASE}/products", {"name": "pen", "price": 300})).body["price"] == 300
    assert (await browser.post(f"{BASE}/products", {"name": "pen", "price": 1.5})).status == 400
    dinars = {"name": "pen", "price": 1.125, "currency": "KWD"}
    assert (await browser.post(f"{BASE}/products", dinars)).body["price"] == 1.125


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"name": "pen"}',
        b'{"name": "pen", "price": -1}',
        b'{"name": "pen", "price": 1.005}',
        b'{"name": "pen", "price": "1"}',
        b'{"name": "pen", "price": 1e15}',
        b'{"name": "pen", "price": 1e400}',
        b'{"name": "pen", "price": NaN}',
        b'{"name": "pen", "price": 1, "stock": -1}',
        b'{"name": "pen", "price": 1, "currency": "XXX"}',
        b'{"name": "pen", "price": 1, "colour": "blue"}',
        b'{"name": "pen", "price": 1, "price": 2}',
    ],
)
async def test_a_product_that_is_none_is_refused_in_its_words(browser: Browser, shop: Shop, body: bytes) -> None:
    answer = await browser.send("POST", f"{BASE}/products", body)
    assert (answer.status, answer.body.keys()) == (400, {"error"})
    assert not shop.store.products


async def test_an_order_is_placed_read_and_paid(curl: Curl, shop: Shop) -> None:
    order = await placed(curl, await added(curl), await added(curl, price="0.99"))
    read = (await curl(GET, order=order)).body
    assert (read["user_id"], read["total_price"]) == (1, 25.99)
    assert read["items"] == [
        {"product_id": 1, "quantity": 2, "unit_price": 12.5},
        {"product_id": 2, "quantity": 1, "unit_price": 0.99},
    ]
    async with at_work(shop):
        paid = await curl(PAY, order=order)
    assert (paid.status, paid.body) == (200, {**read, "status": "PAID"})
    assert await stock_of(curl) == [8, 9]


async def test_a_payment_that_fails_is_told_at_once(curl: Curl, shop: Shop) -> None:
    order = await placed(curl, await added(curl, stock=1), await added(curl))
    async with at_work(shop):
        answer = await curl(PAY, order=order)
    assert (answer.status, answer.body["status"]) == (200, "FAILED")
    assert await stock_of(curl) == [1, 10]


async def test_a_key_in_the_header_or_in_the_body_charges_once(curl: Curl, shop: Shop) -> None:
    one, other = await added(curl), await added(curl)
    async with at_work(shop):
        for command in (PAY_BY_HEADER, PAY_BY_BODY):
            order = await placed(curl, one, other)
            answers = [await curl(command, order=order, key=f"pay-{order}") for _ in range(2)]
            answers += await asyncio.gather(*(curl(command, order=order, key=f"pay-{order}") for _ in range(3)))
            assert [(answer.status, answer.body["status"]) for answer in answers] == [(200, "PAID")] * 5
    assert len(shop.provider.ledger) == 2


async def test_it_is_the_same_request_wherever_its_key_stands(browser: Browser, curl: Curl, shop: Shop) -> None:
    order: dict[str, object] = {"user_id": 1, "items": [{"product_id": await added(curl), "quantity": 1}]}
    header, member = [("X-Idempotency-Key", "monday")], {"idempotency_key": "monday"}
    ways = [({}, header), (member, []), (member, header), ({"idempotency_key": None}, header)]

    async def answers(path: str, body: dict[str, object]) -> list[Answer]:
        path = f"{BASE}/orders{path}"
        return [await browser.send("POST", path, json_of(body | key), more=more) for key, more in ways]

    placed = await answers("", order)
    assert [(answer.status, answer.body) for answer in placed] == [(201, placed[0].body)] * 4
    async with at_work(shop):
        paid = await answers(f"/{placed[0].body['order_id']}/pay", {})
    assert [(answer.status, answer.body["status"]) for answer in paid] == [(200, "PAID")] * 4


async def test_a_key_that_was_used_for_another_request_is_refused(browser: Browser, curl: Curl) -> None:
    product = await added(curl)
    body = {"user_id": 1, "items": [{"product_id": product, "quantity": 1}], "idempotency_key": "monday"}
    first, again = await browser.post(f"{BASE}/orders", body), await browser.post(f"{BASE}/orders", body)
    assert first.body == again.body
    more = {**body, "items": [{"product_id": product, "quantity": 2}]}
    answer = await browser.post(f"{BASE}/orders", more)
    assert (answer.status, answer.body.keys()) == (400, {"error"})


@pytest.mark.parametrize(
    ("key", "header"), [("", None), ("k" * 256, None), ("kéy", None), ("one", "two"), (7, None), (None, "k\tk")]
)
async def test_a_key_that_is_none_is_refused(
    browser: Browser, curl: Curl, shop: Shop, key: object, header: str | None
) -> None:
    body = {"user_id": 1, "items": [{"product_id": await added(curl), "quantity": 1}], "idempotency_key": key}
    more = [] if header is None else [("X-Idempotency-Key", header)]
    answer = await browser.send("POST", f"{BASE}/orders", json_of(body), more=more)
    assert (answer.status, answer.body.keys()) == (400, {"error"})
    assert not shop.store.orders


async def test_a_worker_that_takes_longer_than_its_clients_wait_is_told_of(
    curl: Curl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entrance, "_LONGEST", 0.01)
    order = await placed(curl, await added(curl), await added(curl))
    answer = await curl(PAY, order=order)
    assert (answer.status, answer.body["status"]) == (202, "PROCESSING")


def test_who_waits_for_a_payment_may_wait_longer_than_a_request_takes(app: Quart) -> None:
    routes: dict[str, Route] = app.routes  # type: ignore[attr-defined]
    assert routes[f"POST {BASE}/orders/<order_id>/pay"].waits_for(b"") >= entrance._LONGEST  # noqa: SLF001
    # Ours wait where that is asked for.
    ours = routes["GET /orders/<order_id>"]
    assert (ours.waits_for(b""), ours.waits_for(b"wait=1&min_version=2")) == (0.0, ours.waits)


async def test_our_own_requests_take_the_header_as_well(browser: Browser, shop: Shop) -> None:
    pen = await shop.sells()
    body = json_of({"user_id": 1, "items": [{"product_id": pen.id, "quantity": 1}]})
    key = ("X-Idempotency-Key", "monday")
    first, again = [await browser.send("POST", "/orders", body, more=[key]) for _ in range(2)]
    assert first.body == again.body
    assert again.headers["Idempotent-Replayed"] == "true"
    both = await browser.send("POST", "/orders", body, keys=["monday"], more=[key])
    assert (both.status, len(shop.store.orders)) == (422, 1)
    # Where no response is kept, it is refused as the other one is.
    assert (await browser.send("GET", "/orders", more=[key])).status == 400


async def test_five_buyers_at_once_and_ten_more_leave_nothing(curl: Curl, shop: Shop) -> None:
    product = await added(curl, stock=10)

    async def buys() -> str:
        command = PLACE.replace(', {"product_id": $other, "quantity": 1}', "").replace('"quantity": 2', '"quantity": 1')
        order: Answer = await curl(command, one=product)
        paid = await curl(PAY_BY_HEADER, order=order.body["order_id"], key=order.body["order_id"])
        assert paid.status == 200, paid
        return str(paid.body["status"])

    async with at_work(shop):
        assert await stock_of(curl) == [10]
        assert Counter(await asyncio.gather(*(buys() for _ in range(5)))) == {"PAID": 5}
        assert await stock_of(curl) == [5]
        assert Counter(await asyncio.gather(*(buys() for _ in range(10)))) == {"PAID": 5, "FAILED": 5}
        assert await stock_of(curl) == [0]


async def test_health_says_whether_orders_can_be_placed(browser: Browser, readiness: list[Readiness]) -> None:
    bases = ("", BASE, "/from/flask-orders", "/from/messages", "/from/replicas")
    for orders, expected in ((True, (200, {"status": "ok"})), (False, (503, {"status": "unavailable"}))):
        readiness.append(Readiness(orders=orders, payments=orders, missing=()))
        for base in bases:
            answer = await Curl(browser, base)(HEALTH)
            assert (answer.status, answer.body) == expected
