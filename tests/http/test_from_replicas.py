"""Clients of the three replicas behind nginx find their requests here, as its document shows them."""

import asyncio

import pytest
from quart import Quart

from application.access.principal import Principal
from application.access.scopes import CUSTOMER_SCOPES
from application.errors import Unavailable
from domain.ids import UserId
from domain.orders.events import PaymentRequested
from tests.http.browser import Browser, app_over
from tests.http.curl import Curl
from tests.unit.shop import Shop

PLACE = "curl -X POST http://localhost/order/place"
GET = "curl http://localhost/order/get/$order"
ALL = "curl -X GET http://localhost:80/debug/orders"


@pytest.fixture(params=["", "/from/replicas"])
def curl(browser: Browser, request: pytest.FixtureRequest) -> Curl:
    return Curl(browser, request.param)


async def status_of(curl: Curl, order: str) -> str:
    answer = await curl(GET, order=order)
    assert (answer.status, answer.body) == (200, {"order_id": order, "status": answer.body["status"]})
    return str(answer.body["status"])


async def process_payments(shop: Shop) -> None:
    await shop.process_payment([event for event in shop.store.events.values() if isinstance(event, PaymentRequested)])


async def test_one_request_places_and_pays_and_the_order_is_followed_until_it_is_done(curl: Curl, shop: Shop) -> None:
    pen = await shop.sells(stock=5)
    answer = await curl(PLACE)
    order = answer.body["order_id"]
    assert (answer.status, answer.body) == (200, {"order_id": order, "status": "placed"})
    assert await status_of(curl, order) == "placed"
    shop.provider.before.append(Unavailable("the provider is down"))
    await process_payments(shop)
    assert await status_of(curl, order) == "processing"
    await process_payments(shop)
    assert await status_of(curl, order) == "done"
    assert (len(shop.provider.ledger), await shop.stock_of(pen)) == (1, 4)


async def test_all_orders_are_listed_with_their_status(curl: Curl, shop: Shop) -> None:
    assert ((await curl(ALL)).status, (await curl(ALL)).body.keys()) == (404, {"error"})
    await shop.sells(stock=5)
    first, second = [(await curl(PLACE)).body["order_id"] for _ in range(2)]
    await process_payments(shop)
    listed = await curl(ALL)
    assert listed.status == 200
    assert listed.body == [{"order_id": order, "status": "done"} for order in (second, first)]


async def test_each_of_many_requests_at_once_is_an_order_of_its_own(shop: Shop) -> None:
    await shop.sells(stock=20)
    curl = Curl(Browser(app_over(shop.use_cases)), "")
    answers = await asyncio.gather(*(curl(PLACE) for _ in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body["order_id"] for answer in answers}) == 20 == len(shop.store.orders)


async def test_what_has_stock_is_ordered_and_what_has_none_only_if_nothing_has(curl: Curl, shop: Shop) -> None:
    empty = await shop.sells(stock=0)
    first = (await curl(PLACE)).body["order_id"]
    full = await shop.sells(stock=5)
    second = (await curl(PLACE)).body["order_id"]
    ordered = {str(order.id): order.lines[0].product_id for order in shop.store.orders.values()}
    assert ordered == {first: empty.id, second: full.id}


async def test_an_order_that_failed_is_told_of(curl: Curl, shop: Shop) -> None:
    await shop.sells(stock=0)
    order = (await curl(PLACE)).body["order_id"]
    await process_payments(shop)
    assert await status_of(curl, order) == "failed"


async def test_a_shop_without_products_says_so(curl: Curl) -> None:
    answer = await curl(PLACE)
    assert (answer.status, answer.body) == (400, {"error": "there is no product that could be ordered: add one first"})


@pytest.mark.parametrize("order", ["01890a5d-ac96-774b-bcce-b302099a8057", "17"])
async def test_an_unknown_order_is_not_found(curl: Curl, order: str) -> None:
    answer = await curl(GET, order=order)
    assert (answer.status, answer.body.keys()) == (404, {"error"})


@pytest.mark.parametrize(("body", "status"), [(b"{}", 200), (b'{"quantity": 3}', 400), (b"{", 400), (b"[]", 400)])
async def test_a_body_that_asks_for_something_is_not_overlooked(
    browser: Browser, shop: Shop, body: bytes, status: int
) -> None:
    await shop.sells()
    assert (await browser.send("POST", "/order/place", body)).status == status


async def test_a_customer_orders_for_itself(shop: Shop) -> None:
    await shop.sells()

    async def authenticate(_: object) -> Principal:
        return Principal("hers", user_id=UserId(7), scopes=CUSTOMER_SCOPES)

    await Curl(Browser(app_over(shop.use_cases, authenticate=authenticate)), "")(PLACE)
    assert [order.user_id for order in shop.store.orders.values()] == [7]


@pytest.mark.parametrize("system", ["flask-orders", "shop", "messages", "replicas"])
async def test_behind_a_prefix_what_is_not_there_is_told_in_its_words(browser: Browser, system: str) -> None:
    for method, path, status in (("GET", "/nothing", 404), ("GET", "/", 404), ("PUT", "/health", 405)):
        answer = await browser.send(method, f"/from/{system}{path}")
        assert (answer.status, answer.body.keys()) == (status, {"error"})
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", ["/from", "/from/", "/from/nobody/orders", "/fro", "/order"])
async def test_elsewhere_it_is_a_problem(browser: Browser, path: str) -> None:
    assert (await browser.get(path)).code == "not_found"


@pytest.mark.parametrize("path", ["/order/place", "/from/replicas/order/place", "/add_message", "/from/shop/orders"])
async def test_without_the_entrance_there_is_nothing_there(shop: Shop, path: str) -> None:
    app: Quart = app_over(shop.use_cases, ancestors=None)
    answer = await Browser(app).send("POST", path)
    assert (answer.status, answer.code) == (404, "not_found")
