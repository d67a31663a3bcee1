"""The catalogue over HTTP: adding, changing, counting, and taking out of sale."""

import asyncio
import json
from typing import Any

import pytest
from attrs import evolve

from application.catalogue.adjust_stock import adjustment
from domain.ids import MAX_ID
from domain.money import Money
from tests.http.browser import Answer, Browser
from tests.unit.builders import NOW, a_product
from tests.unit.shop import Shop

INK = {"name": "ink", "price": 399, "currency": "EUR", "stock": 7}


async def add(browser: Browser, **fields: Any) -> Any:
    answer = await browser.post("/products", INK | fields)
    assert answer.status == 201, answer
    return answer.body


async def patch(browser: Browser, body: dict[str, Any], *guards: tuple[str, str], number: int = 1) -> Answer:
    return await browser.send("PATCH", f"/products/{number}", json.dumps(body).encode(), more=guards)


async def count(browser: Browser, body: dict[str, Any], *guards: tuple[str, str], key: str | None = None) -> Answer:
    keys = () if key is None else (key,)
    return await browser.send("POST", "/products/1/stock", json.dumps(body).encode(), keys=keys, more=guards)


async def test_a_product_is_added_with_all_that_it_has(browser: Browser) -> None:
    whole = INK | {"id": 9, "sku": "INK-1", "active": False, "metadata": {"colour": "blue"}}
    answer = await browser.post("/products", whole)
    assert (answer.status, answer.headers["Location"], answer.headers["ETag"]) == (201, "/products/9", '"v1"')
    assert answer.body == whole | {"created_at": "2026-03-01T12:00:00Z", "version": 1}
    assert (await browser.get("/products/9")).body == answer.body


async def test_what_may_be_left_out_has_a_default(browser: Browser) -> None:
    answer = await browser.post("/products", {"name": "ink", "price": 0, "currency": "JPY"})
    assert answer.body == {
        "id": 1,
        "name": "ink",
        "price": 0,
        "currency": "JPY",
        "stock": 0,
        "created_at": "2026-03-01T12:00:00Z",
        "sku": None,
        "active": True,
        "metadata": {},
        "version": 1,
    }


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "/name"),
    ({"name": "x" * 201}, "/name"),
    ({"name": "\0"}, "/name"),
    ({"price": -1}, "/price"),
    ({"price": 1.5}, "/price"),
    ({"price": 2**53}, "/price"),
    ({"currency": "XXX"}, "/currency"),
    ({"currency": "USN"}, "/currency"),
    ({"currency": "eur"}, "/currency"),
    ({"stock": -1}, "/stock"),
    ({"stock": 10**13}, "/stock"),
    ({"sku": ""}, "/sku"),
    ({"sku": "x" * 65}, "/sku"),
    ({"sku": "a\nb"}, "/sku"),
    ({"id": 0}, "/id"),
    ({"id": 2**53}, "/id"),
    ({"active": "yes"}, "/active"),
    ({"metadata": {"": "x"}}, "/metadata"),
    ({"metadata": {"k" * 41: "x"}}, "/metadata"),
    ({"metadata": {"key": "x" * 501}}, "/metadata"),
    ({"metadata": {str(number): "" for number in range(51)}}, "/metadata"),
    ({"colour": "blue"}, "/colour"),
]


async def test_what_breaks_a_rule_is_named_and_nothing_is_added(shop: Shop, browser: Browser) -> None:
    for wrong, field in WRONG:
        answer = await browser.post("/products", INK | wrong)
        assert (answer.status, list(answer.errors)) == (422, [field])
    assert shop.store.products == {}


async def test_an_id_that_javascript_would_round_is_refused_with_the_limit(browser: Browser) -> None:
    assert (await browser.post("/products", INK | {"id": 2**53 - 1})).body["id"] == 2**53 - 1
    assert str(2**53 - 1) in (await browser.post("/products", INK | {"id": 2**53})).errors["/id"]


async def test_a_product_of_an_earlier_release_with_a_larger_id_is_read_changed_and_ordered(
    shop: Shop, browser: Browser
) -> None:
    async with shop.unit_of_work() as tx:
        await tx.products.add_many([old := a_product(MAX_ID)])
        await tx.stock_adjustments.add_many([adjustment(old, old.stock, reason="count", made_by="a", at=NOW)])
    path = f"/products/{MAX_ID}"
    assert (await browser.get(path)).body["id"] == MAX_ID
    assert (await browser.patch(path, {"name": "old ink"})).body["name"] == "old ink"
    assert (await browser.order(MAX_ID))["items"][0]["product_id"] == MAX_ID
    assert [each["id"] for each in (await browser.get("/products")).body["items"]] == [MAX_ID]


async def test_a_product_in_a_currency_that_is_not_taken_any_more_is_read_changed_and_ordered(
    shop: Shop, browser: Browser
) -> None:
    async with shop.unit_of_work() as tx:
        await tx.products.add_many([old := evolve(a_product(1), price=Money(12_5000, "CLF"))])
        await tx.stock_adjustments.add_many([adjustment(old, old.stock, reason="count", made_by="a", at=NOW)])
    assert [each["currency"] for each in (await browser.get("/products")).body["items"]] == ["CLF"]
    assert (await browser.patch("/products/1", {"name": "old ink", "price": 1})).body["currency"] == "CLF"
    order = await browser.order(1)
    assert (order["currency"], (await browser.get(f"/orders/{order['order_id']}")).body["currency"]) == ("CLF", "CLF")
    answer = await browser.patch("/products/1", {"currency": "CLF"})
    assert (answer.status, list(answer.errors)) == (422, ["/currency"])


async def test_the_same_rules_hold_for_a_change(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    for wrong in ({"name": ""}, {"name": "\0"}, {"price": -1}, {"currency": "XXX"}, {"sku": ""}, {"stock": 9}):
        answer = await patch(browser, {"active": False, **wrong})
        assert (answer.status, list(answer.errors)) == (422, [f"/{name}" for name in wrong])
    answer = await patch(browser, {"active": False, "metadata": {"k" * 41: "x"}})
    assert (answer.status, answer.code) == (422, "invalid_metadata")
    assert (await browser.get("/products/1")).body["version"] == 1


async def test_a_member_that_comes_twice_is_refused(browser: Browser) -> None:
    body = b'{"name": "ink", "price": 1, "currency": "EUR", "metadata": {"a": "1", "a": "2"}}'
    answer = await browser.send("POST", "/products", body)
    assert (answer.status, answer.code) == (400, "malformed_body")


async def test_ids_and_skus_belong_to_one_product(browser: Browser) -> None:
    await add(browser, id=1, sku="INK-1")
    await add(browser, id=2)
    again = await browser.post("/products", INK | {"id": 1})
    same_sku = await browser.post("/products", INK | {"sku": "INK-1"})
    changed = await patch(browser, {"sku": "INK-1", "name": "other"}, number=2)
    assert [(answer.status, answer.code) for answer in (again, same_sku, changed)] == [
        (409, "product_exists"),
        (409, "sku_taken"),
        (409, "sku_taken"),
    ]
    assert (await browser.get("/products/2")).body["name"] == "ink"
    # Its own SKU is no other's, and one that was given up is free again.
    assert (await patch(browser, {"sku": "INK-1"})).status == 200
    assert (await patch(browser, {"sku": None})).body["sku"] is None
    assert (await patch(browser, {"sku": "INK-1"}, number=2)).body["sku"] == "INK-1"


async def test_a_change_keeps_what_it_does_not_name(browser: Browser) -> None:
    product = await add(browser, sku="INK-1", metadata={"colour": "blue", "shelf": "3"})
    changed = await patch(browser, {"price": 499, "metadata": {"colour": None, "size": "50 ml"}})
    assert changed.status == 200
    assert changed.body == product | {"price": 499, "metadata": {"shelf": "3", "size": "50 ml"}, "version": 2}
    assert changed.headers["ETag"] == '"v2"'
    assert (await patch(browser, {"price": 499})).body["version"] == 2
    assert (await patch(browser, {})).body == changed.body


async def test_a_placed_order_keeps_its_price(browser: Browser) -> None:
    await add(browser)
    order = await browser.order()
    await patch(browser, {"price": 1, "currency": "USD", "name": "cheap ink"})
    assert (await browser.get(f"/orders/{order['order_id']}")).body["total_price"] == 798
    assert (await browser.order())["total_price"] == 2


async def test_what_is_out_of_sale_can_be_read_and_not_ordered(browser: Browser) -> None:
    await add(browser)
    await add(browser)
    await patch(browser, {"active": False}, number=2)
    items = [{"product_id": number, "quantity": 1} for number in (1, 2)]
    refused = await browser.post("/orders", {"user_id": 1, "items": items})
    assert (refused.status, refused.code) == (422, "not_for_sale")
    assert refused.errors == {"/items/1/product_id": "product 2 is not for sale"}
    assert (await browser.get("/products/2")).body["active"] is False
    await patch(browser, {"active": True}, number=2)
    assert (await browser.post("/orders", {"user_id": 1, "items": items})).status == 201


async def test_an_order_names_every_product_that_it_can_not_have(browser: Browser) -> None:
    await add(browser, active=False)
    items = [{"product_id": number, "quantity": 1} for number in (1, 404)]
    refused = await browser.post("/orders", {"user_id": 1, "items": items})
    assert (refused.status, list(refused.errors)) == (422, ["/items/0/product_id", "/items/1/product_id"])


async def test_lists_show_what_is_for_sale_unless_asked(browser: Browser) -> None:
    for number in range(1, 7):
        await add(browser, active=bool(number % 2))
    seen = {}
    for which in ("", "active=true", "active=false", "active=all"):
        numbers, following = [], f"/products?limit=2&{which}"
        while following:
            page = (await browser.get(following)).body
            numbers += [product["id"] for product in page["items"]]
            following = f"/products?limit=2&{which}&cursor={page['next']}" if page["next"] else ""
        seen[which] = numbers
    assert seen == {
        "": [1, 3, 5],
        "active=true": [1, 3, 5],
        "active=false": [2, 4, 6],
        "active=all": [1, 2, 3, 4, 5, 6],
    }
    cursor = (await browser.get("/products?limit=2&active=all")).body["next"]
    assert (await browser.get(f"/products?active=false&cursor={cursor}")).code == "invalid_cursor"
    assert (await browser.get("/products?active=maybe")).code == "invalid_request"


async def test_the_list_shows_a_change_at_once(browser: Browser) -> None:
    await add(browser)
    for name in ("blue ink", "red ink"):
        await browser.get("/products")
        await patch(browser, {"name": name})
        assert [product["name"] for product in (await browser.get("/products")).body["items"]] == [name]
    await patch(browser, {"active": False})
    assert (await browser.get("/products")).body["items"] == []


@pytest.mark.parametrize(
    ("guard", "holds"),
    [
        (("If-Match", '"v1"'), True),
        (("If-Match", "*"), True),
        (("If-Match", '"v0", "v1"'), True),
        (("If-Match", '"v2"'), False),
        (("If-Match", 'W/"v1"'), False),
        (("If-None-Match", '"v1"'), False),
        (("If-None-Match", "*"), False),
        (("If-None-Match", '"v2"'), True),
    ],
)
async def test_a_guard_decides_about_each_change(
    shop: Shop, browser: Browser, guard: tuple[str, str], *, holds: bool
) -> None:
    await shop.sells(stock=5)
    changed = await patch(browser, {"name": "ink"}, guard)
    assert changed.status == (200 if holds else 412)
    assert (await browser.get("/products/1")).body["name"] == ("ink" if holds else "fountain pen")
    await patch(browser, {"name": "fountain pen"})
    version = (await browser.get("/products/1")).body["version"]
    counted = await count(browser, {"delta": 1, "reason": "r"}, (guard[0], guard[1].replace("v1", f"v{version}")))
    assert counted.status == (200 if holds else 412)
    assert await shop.stock_of(shop.store.products[1]) == (6 if holds else 5)  # type: ignore[index]


@pytest.mark.parametrize("name", ["If-Unmodified-Since", "If-Match"])
async def test_a_guard_that_can_not_be_honoured_is_refused(shop: Shop, browser: Browser, name: str) -> None:
    await shop.sells()
    for answer in (
        await patch(browser, {"name": "ink"}, (name, "nonsense")),
        await count(browser, {"delta": 1, "reason": "r"}, (name, "nonsense")),
        *([await browser.send("POST", "/products", json.dumps(INK).encode(), more=[(name, '"v1"')])]),
    ):
        assert answer.status in {400, 412}
    assert [(product.name, product.stock) for product in shop.store.products.values()] == [("fountain pen", 5)]


async def test_a_sale_gives_a_product_another_tag(shop: Shop, browser: Browser) -> None:
    pen = await shop.sells(stock=5)
    tag = (await browser.get("/products/1")).headers["ETag"]
    unchanged = await browser.send("GET", "/products/1", more=[("If-None-Match", tag)])
    assert (unchanged.status, unchanged.body, unchanged.headers["ETag"]) == (304, None, tag)
    await shop.paid((pen, 2))
    changed = await browser.send("GET", "/products/1", more=[("If-None-Match", tag)])
    assert (changed.status, changed.body["stock"]) == (200, 3)
    assert changed.headers["ETag"] != tag
    assert (await browser.send("GET", "/products/1", more=[("If-Match", tag)])).status == 412


async def test_stock_is_counted_with_a_reason_that_can_be_read(browser: Browser) -> None:
    await add(browser, stock=5)
    for delta, left in ((3, 8), (-8, 0)):
        counted = await count(browser, {"delta": delta, "reason": f"{delta:+}"})
        assert (counted.status, counted.body["stock"]) == (200, left)
    first = (await browser.get("/products/1/stock?limit=2")).body
    assert first["items"] == [
        {"delta": delta, "reason": reason, "made_by": "anybody", "at": "2026-03-01T12:00:00Z"}
        for delta, reason in ((-8, "-8"), (3, "+3"))
    ]
    second = (await browser.get(f"/products/1/stock?limit=2&cursor={first['next']}")).body
    assert [(entry["delta"], entry["reason"]) for entry in second["items"]] == [(5, "first count")]
    assert second["next"] is None
    await add(browser)
    assert (await browser.get(f"/products/2/stock?cursor={first['next']}")).code == "invalid_cursor"


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"delta": -6, "reason": "r"}, 409, "out_of_stock"),
    ({"delta": 1, "reason": "r", "expected": 4}, 409, "stock_differs"),
    ({"delta": 10**12, "reason": "r"}, 422, "invalid_product"),
    ({"delta": 1, "reason": ""}, 422, "invalid_request"),
    ({"delta": 1, "reason": "\0"}, 422, "invalid_product"),
    ({"delta": 1}, 422, "invalid_request"),
    ({"reason": "r"}, 422, "invalid_request"),
    ({"delta": 1, "reason": "r", "expected": -1}, 422, "invalid_request"),
]


async def test_a_count_that_is_refused_changes_nothing(shop: Shop, browser: Browser) -> None:
    pen = await shop.sells(stock=5)
    for body, status, code in REFUSED:
        answer = await count(browser, body)
        assert (answer.status, answer.code) == (status, code)
    assert await shop.stock_of(pen) == 5
    assert len(shop.store.adjustments) == 1


async def test_the_expected_stock_lets_one_of_two_counts_through(shop: Shop, browser: Browser) -> None:
    await shop.sells(stock=5)
    answers = await asyncio.gather(*(count(browser, {"delta": 1, "reason": "r", "expected": 5}) for _ in range(2)))
    assert sorted(answer.status for answer in answers) == [200, 409]


async def test_a_product_that_does_not_exist_is_404_for_each_request(browser: Browser) -> None:
    for answer in (
        await patch(browser, {"name": "ink"}, number=404),
        await browser.post("/products/404/stock", {"delta": 1, "reason": "r"}, key="monday"),
        await browser.get("/products/404/stock"),
    ):
        assert (answer.status, answer.code) == (404, "unknown_product")
    # Nothing is kept under the key, since the product may be added.
    await add(browser, id=404)
    assert (await browser.post("/products/404/stock", {"delta": 1, "reason": "r"}, key="monday")).status == 200


async def test_a_request_under_a_key_has_one_effect_and_one_answer(shop: Shop, browser: Browser) -> None:
    first, again = [await browser.post("/products", INK | {"sku": "A"}, key="monday") for _ in range(2)]
    await browser.post("/products/1/stock", {"delta": 1, "reason": "r"})
    third = await browser.post("/products", INK | {"sku": "A"}, key="monday")
    assert first.body == again.body == third.body
    assert first.headers["ETag"] == third.headers["ETag"] == '"v1"'
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == third.headers["Idempotent-Replayed"] == "true"
    assert len(shop.store.products) == 1
    counts = [await count(browser, {"delta": 2, "reason": "r"}, key="monday") for _ in range(3)]
    assert [answer.body["stock"] for answer in counts] == [10, 10, 10]
    assert (await count(browser, {"delta": 3, "reason": "r"}, key="monday")).code == "idempotency_key_reused"
    refused = [await count(browser, {"delta": -99, "reason": "r"}, key="tuesday") for _ in range(2)]
    assert [answer.code for answer in refused] == ["out_of_stock", "out_of_stock"]
    assert refused[1].headers["Idempotent-Replayed"] == "true"
