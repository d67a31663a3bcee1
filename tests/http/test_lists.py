import base64
from functools import partial
from uuid import UUID

import pytest
from attrs import evolve

from application.assembly.use_cases import UseCases
from tests.http.browser import Browser, app_over
from tests.unit.shop import Shop

KEY = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


async def test_products_come_by_id_page_after_page(shop: Shop, browser: Browser) -> None:
    for price in (1250, 399, 80):
        await shop.sells(price=price, stock=5)
    first = await browser.get("/products?limit=2")
    second = await browser.get(f"/products?limit=2&cursor={first.body['next']}")
    assert first.status == second.status == 200
    assert [product["id"] for product in first.body["items"]] == [1, 2]
    assert [product["id"] for product in second.body["items"]] == [3]
    assert second.body["next"] is None
    assert first.body["items"][0] == {
        "id": 1,
        "name": "fountain pen",
        "price": 1250,
        "currency": "EUR",
        "stock": 5,
        "created_at": "2026-03-01T12:00:00Z",
        "sku": None,
        "active": True,
        "metadata": {},
        "version": 1,
    }


async def test_a_last_page_that_is_full_has_no_next(shop: Shop, browser: Browser) -> None:
    for _ in range(2):
        await shop.sells()
    answer = await browser.get("/products?limit=2")
    assert (len(answer.body["items"]), answer.body["next"]) == (2, None)


async def test_a_list_is_counted_if_that_is_asked_for(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    for user_id in (1, 1, 2):
        await browser.order(user_id=user_id)
    counts = {
        address: (await browser.get(address)).body.get("count")
        for address in (
            "/orders?limit=1",
            "/orders?limit=1&count=capped",
            "/orders?user_id=1&status=PENDING&count=capped",
            "/orders?status=PAID&count=capped",
            "/products?count=capped",
            "/products?active=false&count=capped",
            "/jobs?count=capped",
        )
    }
    assert list(counts.values()) == [None, 3, 2, 0, 1, 0, 0]


@pytest.mark.parametrize(
    "address", ["/orders?count=exact", "/orders?count=capped&total_min=1", "/messages?count=capped", "/jobs?count="]
)
async def test_what_is_not_counted_is_refused(browser: Browser, address: str) -> None:
    answer = await browser.get(address)
    assert (answer.status, answer.wrong) == (422, ["count"])


async def test_a_list_is_counted_up_to_a_number(shop: Shop) -> None:
    await shop.sells()
    use_cases = evolve(shop.use_cases, count_orders=partial(shop.use_cases.count_orders, most=2))
    browser = Browser(app_over(use_cases))
    for _ in range(3):
        await browser.order()
    assert (await browser.get("/orders?count=capped")).body["count"] == 2


async def test_a_product_is_found_by_its_id(shop: Shop, browser: Browser) -> None:
    await shop.sells(stock=3)
    answer = await browser.get("/products/1")
    missing = await browser.get("/products/2")
    assert (answer.status, answer.body["id"], answer.body["stock"]) == (200, 1, 3)
    assert (missing.status, missing.code) == (404, "unknown_product")


async def test_orders_come_newest_first_and_each_once(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    placed = [(await browser.order())["order_id"] for _ in range(5)]
    seen: list[str] = []
    address = "/orders?limit=2"
    while True:
        page = (await browser.get(address)).body
        seen += [order["order_id"] for order in page["items"]]
        # An order that is placed meanwhile moves nothing: the next page begins by key.
        await browser.order()
        if page["next"] is None:
            break
        address = f"/orders?limit=2&cursor={page['next']}"
    assert seen == placed[::-1]


async def test_orders_are_found_by_customer_and_status(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    hers, his = await browser.order(user_id=1), await browser.order(user_id=2)
    await browser.patch(f"/orders/{his['order_id']}/status", {"status": "CANCELLED"})
    by_customer = await browser.get("/orders?user_id=1")
    by_status = await browser.get("/orders?status=CANCELLED")
    by_both = await browser.get("/orders?status=CANCELLED&user_id=1")
    assert [order["order_id"] for order in by_customer.body["items"]] == [hers["order_id"]]
    assert [order["order_id"] for order in by_status.body["items"]] == [his["order_id"]]
    assert by_both.body["items"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=201", "limit"),
        ("limit=1000000000", "limit"),
        (f"limit={'9' * 5000}", "limit"),
        ("limit=1.5", "limit"),
        ("limit=", "limit"),
        ("limit=+5", "limit"),
        ("limit=%205", "limit"),
        ("limit=05", "limit"),
        ("limit=1_0", "limit"),
        ("limit=%D9%A5", "limit"),
        ("limit", "limit"),
        ("limit=1&limit=2", "limit"),
        ("user_id=0", "user_id"),
        ("user_id=9223372036854775808", "user_id"),
        ("user_id=", "user_id"),
        ("user_id=%FF", "user_id"),
        ("user_id=a%0A", "user_id"),
        ("status=paid", "status"),
        ("status=", "status"),
        ("status=%00", "status"),
        ("offset=3", "offset"),
        ("%FF=3", "\N{REPLACEMENT CHARACTER}"),
        ("&".join(f"a{n}=1" for n in range(100)), "query"),
    ],
)
async def test_a_parameter_that_breaks_its_rule_is_named(browser: Browser, query: str, field: str) -> None:
    answer = await browser.get(f"/orders?{query}")
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert list(answer.errors) == [field]


def word(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "====",
        "%00",
        "%FF%FE",
        "a" * 5000,
        word(b"p" + bytes(8)),
        word(b"o" + bytes(15)),
        word(b"o" + bytes(17)),
        word(b"o" + KEY.bytes) + "=",
        word(b"o" + KEY.bytes) + "!",
        word(b"o" + KEY.bytes)[:-1] + "_",
        str(KEY),
    ],
)
async def test_a_forged_cursor_is_refused(browser: Browser, cursor: str) -> None:
    answer = await browser.get(f"/orders?cursor={cursor}")
    assert (answer.status, answer.code) == (400, "invalid_cursor")
    assert list(answer.errors) == ["cursor"]


@pytest.mark.parametrize(
    "cursor",
    [word(b"o" + bytes(16)), word(b"p" + bytes(8)), word(b"p" + b"\xff" * 8), word(b"p" + bytes(7)), "x"],
)
async def test_a_forged_cursor_of_products_is_refused(browser: Browser, cursor: str) -> None:
    answer = await browser.get(f"/products?cursor={cursor}")
    assert (answer.status, answer.code) == (400, "invalid_cursor")
    assert list(answer.errors) == ["cursor"]


async def test_a_cursor_belongs_to_its_list_and_its_filter(shop: Shop, browser: Browser) -> None:
    for _ in range(2):
        await shop.sells()
    for user in (1, 1, 2, 2):
        await browser.order(user_id=user)

    async def cursor_of(path: str) -> str:
        return str((await browser.get(path)).body["next"])

    lists = ["/orders?limit=1", "/orders?limit=1&user_id=1", "/orders?limit=1&status=PENDING", "/products?limit=1"]
    for made_for in lists:
        cursor = await cursor_of(made_for)
        for used_for in lists:
            answer = await browser.get(f"{used_for}&cursor={cursor}")
            assert answer.status == (200 if used_for == made_for else 400), (made_for, used_for)
        # The size of a page is not part of the list.
        assert (await browser.get(f"{made_for.replace('limit=1', 'limit=5')}&cursor={cursor}")).status == 200


async def test_a_cursor_is_valid_in_all_processes_with_the_same_secret(shop: Shop, use_cases: UseCases) -> None:
    for _ in range(2):
        await shop.sells()
    one, other, stranger = (Browser(app_over(use_cases, cursor_secret=secret * 32)) for secret in (b"a", b"a", b"b"))
    cursor = (await one.get("/products?limit=1")).body["next"]
    assert (await other.get(f"/products?cursor={cursor}")).status == 200
    assert (await stranger.get(f"/products?cursor={cursor}")).status == 400


async def test_no_change_of_a_cursor_makes_another(shop: Shop, browser: Browser) -> None:
    for _ in range(3):
        await shop.sells()
    cursor = (await browser.get("/products?limit=1")).body["next"]
    for place, character in enumerate(cursor):
        changed = cursor[:place] + ("A" if character != "A" else "B") + cursor[place + 1 :]
        assert (await browser.get(f"/products?cursor={changed}")).status == 400


async def test_products_know_no_parameters_of_orders(browser: Browser) -> None:
    answer = await browser.get("/products?status=PAID")
    assert (answer.status, list(answer.errors)) == (422, ["status"])
