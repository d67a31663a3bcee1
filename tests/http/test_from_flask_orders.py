"""Clients of the Flask service with queued writes find their requests here, as its document shows them."""

import random

import pytest
from quart import Quart

from application.access.principal import Principal
from application.access.scopes import ALL_SCOPES, CUSTOMER_SCOPES, Scope
from domain.ids import UserName
from domain.orders.order import Order
from domain.orders.status import OrderStatus
from entrypoints.http.authentication import Bearer
from entrypoints.http.routes.ancestors.entrance import Ancestors
from tests.http.browser import Answer, Browser, app_over
from tests.http.curl import Curl
from tests.unit.shop import EXPIRY, Shop, a_request

BASE = "/from/flask-orders"
PLACE = (
    "curl -X POST http://localhost:5000/orders -H 'Content-Type: application/json'"
    """ -d '{"customer_name": "Ann", "items": [{"name": "pen", "quantity": 2}]}'"""
)
GET = "curl http://localhost:5000/orders/$order"
LIST = "curl http://localhost:5000/orders"
CHANGE = (
    "curl -X PATCH http://localhost:5000/orders/$order/status -H 'Content-Type: application/json'"
    """ -d '{"status": "$status"}'"""
)
DELETE = "curl -X DELETE http://localhost:5000/orders/$order"


@pytest.fixture
def app(shop: Shop) -> Quart:
    return app_over(shop.use_cases, ancestors=Ancestors(create=True, currency="USD"))


@pytest.fixture
def curl(browser: Browser) -> Curl:
    return Curl(browser, BASE)


def expect_job(answer: Answer, job_type: str, order: str) -> None:
    assert answer.status == 202, answer
    assert answer.body == {"job_id": order, "job_type": job_type, "status": "queued", "order_id": order}


async def placed(curl: Curl) -> str:
    answer = await curl(PLACE)
    order = str(answer.body["order_id"])
    expect_job(answer, "create", order)
    return order


async def test_an_order_is_accepted_and_read_at_once(curl: Curl, browser: Browser) -> None:
    order = await placed(curl)
    read = await curl(GET, order=order)
    created_at = read.body.pop("created_at")
    assert (read.status, read.body) == (
        200,
        {
            "order_id": order,
            "customer_name": "Ann",
            "status": "received",
            "items": [{"name": "pen", "quantity": 2}],
        },
    )
    listed = (await curl(LIST)).body
    assert listed == {"total_orders": 1, "orders": [{**read.body, "created_at": created_at}]}
    # It is an order like any other, and its job, too.
    ours = (await browser.get(f"/orders/{order}")).body
    assert (ours["user_id"], ours["status"], ours["total_price"], ours["currency"]) == ("Ann", "PENDING", 0, "USD")
    assert (await browser.get(f"/jobs/{order}")).body["status"] == "COMPLETED"


async def test_the_same_item_twice_is_added_up(browser: Browser) -> None:
    items = [{"name": name, "quantity": quantity} for name, quantity in (("pen", 2), ("ink", 1), ("pen", 3))]
    order = (await browser.post(f"{BASE}/orders", {"customer_name": "Ann", "items": items})).body["order_id"]
    shown = (await browser.get(f"{BASE}/orders/{order}")).body["items"]
    assert shown == [{"name": "pen", "quantity": 5}, {"name": "ink", "quantity": 1}]


async def test_a_product_is_added_once_and_then_found(curl: Curl, shop: Shop) -> None:
    await placed(curl)
    await placed(curl)
    [product] = shop.store.products.values()
    assert (product.name, product.price.minor, product.price.currency, product.stock) == ("pen", 0, "USD", 0)


async def test_what_the_shop_sells_is_found_by_its_name_at_its_price(browser: Browser, shop: Shop) -> None:
    pen = await shop.sells(price=1250, currency="EUR")
    body = {"customer_name": "Ann", "items": [{"name": pen.name, "quantity": 2}]}
    order = (await browser.post(f"{BASE}/orders", body)).body["order_id"]
    ours = (await browser.get(f"/orders/{order}")).body
    assert (ours["total_price"], ours["items"][0]["product_id"]) == (2500, pen.id)


async def test_an_unknown_name_is_refused_where_none_is_to_be_added(shop: Shop) -> None:
    pen = await shop.sells()
    browser = Browser(app_over(shop.use_cases, ancestors=Ancestors()))
    items = [{"name": name, "quantity": 1} for name in (pen.name, "unicorn", "griffin")]
    answer = await browser.post(f"{BASE}/orders", {"customer_name": "Ann", "items": items})
    assert answer.status == 400
    assert "items/1/name: there is no product with the name 'unicorn'" in answer.body["error"]
    assert "items/2/name: there is no product with the name 'griffin'" in answer.body["error"]
    assert len(shop.store.products) == 1


async def test_who_may_add_no_products_adds_none_by_ordering(shop: Shop) -> None:
    by = Principal("till", scopes=ALL_SCOPES - {Scope.PRODUCTS_WRITE})

    async def authenticate(_: object) -> Principal:
        return by

    app = app_over(shop.use_cases, ancestors=Ancestors(create=True), authenticate=authenticate)
    answer = await Curl(Browser(app), BASE)(PLACE)
    assert (answer.status, "products:write" in answer.body["error"]) == (403, True)
    assert not shop.store.products


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"customer_name": "Ann"},
        {"items": [{"name": "pen", "quantity": 2}]},
        {"customer_name": "", "items": [{"name": "pen", "quantity": 2}]},
        {"customer_name": "Ann", "items": []},
        {"customer_name": "Ann", "items": [{"name": "pen"}]},
        {"customer_name": "Ann", "items": [{"quantity": 2}]},
        {"customer_name": "Ann", "items": [{"name": "", "quantity": 2}]},
        {"customer_name": "Ann", "items": [{"name": "p\0n", "quantity": 2}]},
        {"customer_name": "A" * 65, "items": [{"name": "pen", "quantity": 2}]},
        {"customer_name": "0", "items": [{"name": "pen", "quantity": 2}]},
        {"customer_name": "\ud7ff\u200b", "items": [{"name": "pen", "quantity": 2}]},
        {"customer_name": "Ann", "items": [{"name": "pen", "quantity": 0}]},
        {"customer_name": "Ann", "items": [{"name": "pen", "quantity": "2"}]},
        {"customer_name": "Ann", "items": [{"name": "pen", "quantity": 2, "price": 3}]},
        {"customer_name": "Ann", "items": "pen"},
        [],
    ],
)
async def test_a_field_that_is_missing_or_wrong_is_a_bad_request(browser: Browser, shop: Shop, body: object) -> None:
    answer = await browser.post(f"{BASE}/orders", body)
    assert (answer.status, answer.body.keys()) == (400, {"error"})
    assert answer.headers["Content-Type"] == "application/json"
    assert not shop.store.orders


async def test_a_status_may_say_anything_and_is_read_at_once(curl: Curl, browser: Browser) -> None:
    order = await placed(curl)
    for status in ("processing", "completed", "packed by Bob", "received", "processing"):
        expect_job(await curl(CHANGE, order=order, status=status), "update_status", order)
        assert (await curl(GET, order=order)).body["status"] == status
        assert [each["status"] for each in (await curl(LIST)).body["orders"]] == [status]
    ours = (await browser.get(f"/orders/{order}")).body
    assert (ours["status"], ours["metadata"]) == (
        "PENDING",
        {"status_label": "processing", "status_label_at": "PENDING"},
    )


async def test_cancelled_cancels_and_a_label_may_follow(curl: Curl, browser: Browser) -> None:
    order = await placed(curl)
    await curl(CHANGE, order=order, status="processing")
    expect_job(await curl(CHANGE, order=order, status="cancelled"), "update_status", order)
    assert (await curl(GET, order=order)).body["status"] == "cancelled"
    assert (await browser.get(f"/orders/{order}")).body["status"] == "CANCELLED"
    for status in ("returned", "cancelled", "completed"):
        await curl(CHANGE, order=order, status=status)
        assert (await curl(GET, order=order)).body["status"] == status
    assert (await browser.get(f"/orders/{order}")).body["status"] == "CANCELLED"


async def test_a_label_gives_way_when_the_order_moves_on(curl: Curl, browser: Browser, shop: Shop) -> None:
    order, other = await placed(curl), await placed(curl)
    await curl(CHANGE, order=order, status="waits for Bob")
    await browser.patch(f"/orders/{order}/status", {"status": "CANCELLED"})
    assert (await curl(GET, order=order)).body["status"] == "cancelled"
    # Orders did not expire there, so a label outlasts that.
    await curl(CHANGE, order=other, status="completed")
    await shop.is_open_for(EXPIRY)
    await shop.expire_orders()
    assert (await browser.get(f"/orders/{other}")).body["status"] == OrderStatus.EXPIRED
    assert (await curl(GET, order=other)).body["status"] == "completed"


SEED = "curl -X POST http://localhost:5000/admin/seed -H 'Content-Type: application/json'"
RESET = "curl -X POST http://localhost:5000/admin/reset"
IN_HEADER = " -H 'X-Admin-Password: $password'"
SEED_BY_HEADER = f"""{SEED}{IN_HEADER} -d '{{"count": 3}}'"""
# Its documents call it `password`.
SEED_BY_BODY, SEED_BY_PASSWORD = [
    f"""{SEED} -d '{{"count": 3, "{name}": "$password"}}'""" for name in ("admin_password", "password")
]
RESET_BY_BODY, RESET_BY_PASSWORD = [
    f"""{RESET} -H 'Content-Type: application/json' -d '{{"{name}": "$password"}}'"""
    for name in ("admin_password", "password")
]
# As its pages do it.
RESET_BY_PAGE = f"{RESET}{IN_HEADER} -H 'Content-Type: application/json' -d '{{}}'"
BY_PASSWORD = [
    *[SEED_BY_HEADER, SEED_BY_BODY, SEED_BY_PASSWORD],
    *[f"{RESET}{IN_HEADER}", RESET_BY_PAGE, RESET_BY_BODY, RESET_BY_PASSWORD],
]


def behind_password(shop: Shop, password: str, *, required: bool = True) -> Curl:
    bearer = Bearer(shop.use_cases.authenticate, required=required, admin_password=password)
    return Curl(Browser(app_over(shop.use_cases, authenticate=bearer)), BASE)


@pytest.mark.parametrize("required", [True, False])
async def test_the_admin_password_in_header_or_body_seeds_and_empties(*, required: bool) -> None:
    shop = Shop(allow_reset=True)
    await shop.order((await shop.sells(stock=100), 1))
    curl = behind_password(shop, "swordfish", required=required)
    for command in (each for each in BY_PASSWORD if each.startswith(SEED)):
        answer = await curl(command, password="swordfish")
        assert (answer.status, answer.body["job_type"], answer.body["status"]) == (202, "seed", "queued")
        assert answer.body["message"] == "Seeding 3 example orders."
    orders = 1
    for command in (each for each in BY_PASSWORD if each.startswith(RESET)):
        answer = await curl(command, password="swordfish")
        assert (answer.status, answer.body) == (200, {"message": "All orders have been removed", "orders": orders})
        orders = 0
    assert not shop.store.orders


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("command", [*BY_PASSWORD, SEED, RESET, SEED + " -d '[7]'", SEED + " -d '{'"])
async def test_a_wrong_or_missing_password_is_401(command: str, *, required: bool) -> None:
    shop = Shop(allow_reset=True)
    order = await shop.order((await shop.sells(), 1))
    answer = await behind_password(shop, "swordfish", required=required)(command, password="swordfis")
    assert (answer.status, answer.body.keys()) == (401, {"error"})
    assert await shop.now(order) == order


@pytest.mark.parametrize("command", BY_PASSWORD)
async def test_a_password_opens_nothing_in_a_shop_that_has_none(command: str) -> None:
    shop = Shop(allow_reset=True)
    assert (await behind_password(shop, "", required=False)(command, password="x")).status == 401


async def test_an_open_shop_without_a_password_asks_for_none_and_is_emptied_only_where_that_is_allowed(
    curl: Curl, browser: Browser
) -> None:
    assert (await curl(SEED + """ -d '{"count": 0}'""")).status == 400
    assert (await curl(SEED + """ -d '{"count": 2}'""")).status == 202
    assert (await curl("curl -X POST http://localhost:5000/admin/seed")).status == 202
    refused = await curl(RESET)
    assert (refused.status, "HOLDFAST_ALLOW_RESET" in refused.body["error"]) == (403, True)


async def test_the_password_opens_nothing_else_and_not_in_a_body_of_ours(shop: Shop) -> None:
    curl = behind_password(shop, "swordfish")
    assert (await curl(f"{LIST}{IN_HEADER}", password="swordfish")).status == 401
    ours = Curl(curl._browser, "")  # noqa: SLF001 - the same interface, without the prefix
    for command in (SEED_BY_BODY, SEED_BY_PASSWORD):
        assert (await ours(command, password="swordfish")).status == 401


async def test_what_the_rules_refuse_is_said_in_its_words(curl: Curl, browser: Browser, shop: Shop) -> None:
    pen = await shop.sells()
    order = await shop.paid((pen, 1))
    for command in (CHANGE, DELETE):
        answer = await curl(command, order=order.id, status="cancelled")
        assert (answer.status, answer.body.keys()) == (409, {"error"})
    assert (await curl(GET, order=order.id)).body["status"] == "processing"
    assert (await browser.get(f"/orders/{order.id}")).body["status"] == "PAID"


async def test_a_deleted_order_is_gone_at_once(curl: Curl) -> None:
    order = await placed(curl)
    expect_job(await curl(DELETE, order=order), "delete", order)
    assert (await curl(GET, order=order)).status == 404
    assert (await curl(LIST)).body == {"total_orders": 0, "orders": []}


@pytest.mark.parametrize("order", ["01890a5d-ac96-774b-bcce-b302099a8057", "17", "x"])
@pytest.mark.parametrize("command", [GET, CHANGE, DELETE])
async def test_an_unknown_order_is_not_found(curl: Curl, command: str, order: str) -> None:
    answer = await curl(command, order=order, status="completed")
    assert (answer.status, answer.body.keys()) == (404, {"error"})


async def test_a_customer_sees_and_counts_its_own_orders(shop: Shop) -> None:
    await shop.sells()

    async def authenticate(_: object) -> Principal:
        return Principal("Bob's", user_id=UserName("Bob"), scopes=CUSTOMER_SCOPES)

    everybody = Browser(app_over(shop.use_cases))
    bob = Browser(app_over(shop.use_cases, authenticate=authenticate))
    body = {"customer_name": "Ann", "items": [{"name": "fountain pen", "quantity": 1}]}
    assert (await everybody.post(f"{BASE}/orders", body)).status == 202
    assert (await bob.post(f"{BASE}/orders", body)).status == 403
    assert (await bob.post(f"{BASE}/orders", {**body, "customer_name": "Bob"})).status == 202
    listed = (await bob.get(f"{BASE}/orders")).body
    assert (listed["total_orders"], [order["customer_name"] for order in listed["orders"]]) == (1, ["Bob"])


async def test_the_mix_of_its_load_test_fails_nowhere(curl: Curl) -> None:
    """Lists 5, own status 3, place 2, change status 1, delete 1."""
    chance = random.Random(7)
    orders: list[str] = []
    for _ in range(120):
        deed = chance.choices(["list", "read", "place", "change", "delete"], [5, 3, 2, 1, 1])[0]
        if deed == "place" or (not orders and deed != "list"):
            orders.append(await placed(curl))
        elif deed == "list":
            listed = (await curl(LIST)).body
            assert {order["order_id"] for order in listed["orders"]} == set(orders)
            assert listed["total_orders"] == len(orders)
        elif deed == "read":
            assert (await curl(GET, order=chance.choice(orders))).status == 200
        elif deed == "change":
            status, order = chance.choice(["received", "processing", "completed", "cancelled"]), chance.choice(orders)
            expect_job(await curl(CHANGE, order=order, status=status), "update_status", order)
            assert (await curl(GET, order=order)).body["status"] == status
        else:
            order = orders.pop(chance.randrange(len(orders)))
            expect_job(await curl(DELETE, order=order), "delete", order)


async def test_the_list_has_the_newest_thousand_and_counts_all(curl: Curl, shop: Shop) -> None:
    pen = await shop.sells()
    orders = await shop.place_order([a_request((pen, 1))] * 1003)
    listed = (await curl(LIST)).body
    assert listed["total_orders"] == 1003
    newest = sorted((str(order.id) for order in orders if isinstance(order, Order)), reverse=True)[:1000]
    assert [order["order_id"] for order in listed["orders"]] == newest
