"""Carts over HTTP: what is put in is ordered once, at the prices that were shown."""

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

import pytest
from attrs import evolve

from adapters.memory.carts import MemoryCarts, NoCarts
from application.access.principal import Principal
from application.access.scopes import CUSTOMER_SCOPES
from application.assembly import assemble
from application.assembly.limits import Limits
from application.errors import OutcomeUnknown
from domain.cart import Cart
from domain.ids import CustomerId, UserId
from tests.http.browser import Answer, Browser, app_over
from tests.unit.shop import Shop
from tests.unit.unsteady import Trouble


async def put(browser: Browser, product: int, quantity: int, *, user: Any = 1) -> Answer:
    return await browser.send("PUT", f"/carts/{user}/items/{product}", b'{"quantity": %d}' % quantity)


async def order(browser: Browser, key: str | None = None, *, user: Any = 1) -> Answer:
    return await browser.send("POST", f"/carts/{user}/order", keys=() if key is None else (key,))


async def quantities(browser: Browser, *, user: Any = 1) -> dict[int, int]:
    cart = (await browser.get(f"/carts/{user}")).body
    return {item["product_id"]: item["quantity"] for item in cart["items"]}


@pytest.fixture
async def two_products(shop: Shop) -> None:
    await shop.sells(price=1250)
    await shop.sells(price=399)


@pytest.mark.usefixtures("two_products")
@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Zo%C3%AB", "Zoë"),
        ("Zo%c3%ab", "Zoë"),
        ("a%20b", "a b"),
        ("ana@x.de", "ana@x.de"),
        ("ana%40x.de", "ana@x.de"),
        ("a%2Fb", "a/b"),
        ("100%25", "100%"),
    ],
)
async def test_an_encoded_name_in_the_path_is_that_of_the_customer(browser: Browser, written: str, name: str) -> None:
    assert (await put(browser, 1, 2, user=written)).body["user_id"] == name
    placed = await order(browser, user=written)
    assert (placed.status, placed.body["user_id"]) == (201, name)


@pytest.mark.parametrize("written", ["%31", "a%64a", "%", "ada%2", "ada%zz", "%C3", "a%00b", "a%0Ab", "%ED%A0%80"])
async def test_no_other_spelling_is_a_cart_of_the_customer(browser: Browser, written: str) -> None:
    assert (await browser.get(f"/carts/{written}")).status == 404


@pytest.mark.usefixtures("two_products")
async def test_items_are_put_changed_and_taken_out(browser: Browser) -> None:
    assert (await browser.get("/carts/ada")).body == {"user_id": "ada", "items": []}
    await put(browser, 1, 2, user="ada")
    cart = await put(browser, 2, 1, user="ada")
    assert cart.body == {
        "user_id": "ada",
        "items": [
            {"product_id": 1, "quantity": 2, "unit_price": 1250, "currency": "EUR"},
            {"product_id": 2, "quantity": 1, "unit_price": 399, "currency": "EUR"},
        ],
    }
    await put(browser, 1, 5, user="ada")
    assert await quantities(browser, user="ada") == {1: 5, 2: 1}
    assert (await browser.delete("/carts/ada/items/1")).status == 200
    assert await quantities(browser, user="ada") == {2: 1}
    assert (await browser.delete("/carts/ada")).body["items"] == []
    assert await quantities(browser, user="ada") == {}


async def test_what_can_not_be_put_is_refused(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    await browser.patch("/products/1", {"active": False})
    refused = [
        await put(browser, 1, 1),
        await put(browser, 404, 1),
        await put(browser, 1, 0),
        await put(browser, 1, 10**6 + 1),
        await browser.send("PUT", "/carts/1/items/1", b'{"quantity": 1, "colour": 2}'),
        await put(browser, 1, 1, user="x" * 65),
    ]
    assert [(answer.status, answer.code) for answer in refused] == [
        (422, "not_for_sale"),
        (404, "unknown_product"),
        (422, "invalid_request"),
        (422, "invalid_request"),
        (422, "invalid_request"),
        (404, "not_an_id"),
    ]
    assert await quantities(browser) == {}


async def test_a_cart_has_as_many_products_as_an_order(shop: Shop, browser: Browser) -> None:
    for number in range(1, 102):
        await shop.sells()
        answer = await put(browser, number, 1)
        assert answer.status == (200 if number <= 100 else 422)
    assert answer.code == "invalid_cart"
    assert (await order(browser)).status == 201


@pytest.mark.usefixtures("two_products")
async def test_a_cart_is_ordered_and_then_empty(browser: Browser) -> None:
    await put(browser, 1, 2)
    await put(browser, 2, 1)
    placed = await order(browser)
    assert (placed.status, placed.body["total_price"]) == (201, 2899)
    assert placed.headers["Location"] == f"/orders/{placed.body['order_id']}"
    assert await quantities(browser) == {}
    assert ((await order(browser)).status, (await order(browser)).code) == (409, "cart_empty")


@pytest.mark.usefixtures("two_products")
async def test_a_repeated_request_gets_the_first_answer(shop: Shop, browser: Browser) -> None:
    await put(browser, 1, 2)
    first = await order(browser, "monday")
    await put(browser, 2, 1)
    again = await order(browser, "monday")
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await quantities(browser) == {2: 1}
    assert (await order(browser, "tuesday")).body["total_price"] == 399
    assert (await order(browser, "monday")).body == first.body
    assert len(shop.store.orders) == 2


@pytest.mark.usefixtures("two_products")
async def test_many_requests_at_once_make_one_order(shop: Shop, browser: Browser) -> None:
    await put(browser, 1, 2)
    answers = await asyncio.gather(*(order(browser, key) for key in (None, "a", "b", "a", None, "b")))
    assert {answer.status for answer in answers} <= {201, 409}
    placed = {answer.body["order_id"] for answer in answers if answer.status == 201}
    assert len(placed) == len(shop.store.orders) == 1
    assert await quantities(browser) == {}


@pytest.mark.usefixtures("two_products")
async def test_a_price_that_changed_is_told_with_both_and_nothing_is_ordered(shop: Shop, browser: Browser) -> None:
    await put(browser, 1, 2)
    await put(browser, 2, 1)
    await browser.patch("/products/2", {"price": 499})
    for key in ("monday", "monday", "tuesday"):
        refused = await order(browser, key)
        assert (refused.status, refused.code) == (409, "price_changed")
        assert refused.errors == {
            "/items/1/unit_price": "product 2 costs 499 EUR now, and 399 EUR was shown (in minor units)"
        }
    assert await quantities(browser) == {1: 2, 2: 1}
    assert shop.store.orders == {}
    await put(browser, 2, 1)
    assert (await order(browser, "wednesday")).body["total_price"] == 2999


@pytest.mark.usefixtures("two_products")
async def test_after_a_refusal_the_cart_can_be_mended_and_ordered(browser: Browser) -> None:
    await put(browser, 1, 1)
    await put(browser, 2, 1)
    await browser.patch("/products/2", {"active": False})
    assert (await order(browser, "monday")).code == "not_for_sale"
    await browser.delete("/carts/1/items/2")
    assert (await order(browser, "tuesday")).body["total_price"] == 1250


@pytest.mark.usefixtures("two_products")
async def test_a_customer_reaches_its_own_cart_alone(shop: Shop, browser: Browser) -> None:
    await put(browser, 1, 2, user=2)
    by = Principal("ada", user_id=UserId(1), scopes=CUSTOMER_SCOPES)

    async def authenticate(_: object) -> Principal:
        return by

    hers = Browser(app_over(shop.use_cases, authenticate=authenticate))
    for answer in (
        await hers.get("/carts/2"),
        await put(hers, 1, 1, user=2),
        await hers.delete("/carts/2"),
        await hers.delete("/carts/2/items/1"),
        await order(hers, user=2),
    ):
        assert (answer.status, answer.code) == (403, "forbidden")
    assert await quantities(browser, user=2) == {1: 2}
    await put(hers, 1, 1)
    assert (await order(hers)).status == 201


class MeanwhileCarts(MemoryCarts):
    """Carts to which something happens between the beginning of an order and its end."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def change(self, owner: CustomerId, change: Callable[[Cart], Cart]) -> Cart:
        before = await self.get(owner)
        cart = await super().change(owner, change)
        if cart.unsettled is not None and before.unsettled is None and self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            await happens()
        return cart


@pytest.mark.usefixtures("two_products")
@pytest.mark.parametrize(("quantity", "left"), [(2, {2: 1}), (5, {1: 3, 2: 1}), (1, {2: 1}), (None, {2: 1})])
async def test_what_is_put_in_while_it_is_ordered_stays(shop: Shop, quantity: int | None, left: dict[int, int]) -> None:
    carts = MeanwhileCarts()
    browser = Browser(app_over(assemble(evolve(shop.ports, carts=carts), Limits())))

    async def meanwhile() -> None:
        await put(browser, 2, 1)
        await (browser.delete("/carts/1/items/1") if quantity is None else put(browser, 1, quantity))

    await put(browser, 1, 2)
    carts.meanwhile = meanwhile
    placed = await order(browser, "monday")
    assert [item["quantity"] for item in placed.body["items"]] == [2]
    assert await quantities(browser) == left
    await order(browser, "monday")
    assert await quantities(browser) == left


@pytest.mark.usefixtures("two_products")
async def test_an_order_that_may_have_been_placed_is_finished_by_the_next_request(shop: Shop, browser: Browser) -> None:
    """The process may have died between the order and the cart."""
    await put(browser, 1, 2)
    shop.unsteady.to_come.append(Trouble(OutcomeUnknown("no answer to the commit"), committed=True))
    assert (await order(browser, "monday")).status == 503
    await put(browser, 2, 1)
    second = await order(browser, "tuesday")
    assert (second.status, [item["product_id"] for item in second.body["items"]]) == (201, [2])
    assert (await order(browser, "monday")).body["items"][0]["product_id"] == 1
    assert (len(shop.store.orders), await quantities(browser)) == (2, {})


async def test_a_set_up_without_carts_says_so(shop: Shop) -> None:
    await shop.sells()
    browser = Browser(app_over(assemble(evolve(shop.ports, carts=NoCarts()), Limits())))
    for answer in (await browser.get("/carts/1"), await put(browser, 1, 1), await order(browser)):
        assert (answer.status, answer.code) == (501, "carts_unsupported")


@pytest.mark.usefixtures("two_products")
async def test_an_ordered_cart_is_known_again_in_every_release(shop: Shop, browser: Browser) -> None:
    """Otherwise an order that another release began would be refused as a different request, and placed again."""
    await put(browser, 1, 2)
    await put(browser, 2, 1)
    await order(browser, "monday")
    [(fingerprint, *_)] = shop.store.idempotency_keys.values()
    assert fingerprint == sha256(b"cart 1 2 1250 EUR, 2 1 399 EUR").hexdigest()
