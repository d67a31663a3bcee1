import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quart import Quart

from application.assembly.use_cases import UseCases
from entrypoints.http.bodies.imports import ROWS
from entrypoints.http.routes.route import Route
from tests.http.browser import Browser, app_over
from tests.unit.shop import Shop

ITEM = b'{"product_id":1,"quantity":1}'
ADDRESS = "/orders/01890a5d-ac96-774b-bcce-b302099a8057"


MISSING_IN_ITEM_4 = ["/items/4/product_id", "/items/4/quantity"]


def an_order(**changes: Any) -> bytes:
    return json.dumps({"user_id": 1, "items": [{"product_id": 1, "quantity": 1}], **changes}).encode()


def of_items(*items: object) -> bytes:
    return an_order(items=list(items))


def of_quantity(written: str) -> bytes:
    return b'{"user_id":1,"items":[{"product_id":1,"quantity":%s}]}' % written.encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"order",
        b"\xef\xbb\xbf" + an_order(),
        an_order() + b"x",
        an_order() * 2,
        b"\x00",
        an_order() + b"\x00",
        an_order().decode().encode("utf-16"),
        of_quantity("NaN"),
        of_quantity("Infinity"),
        of_quantity("-"),
        of_quantity("01"),
        b'{"\xff":1}',
        b'{"\\ud800":1}',
        b"{'user_id':1}",
        b'{"user_id":1,"user_id":2,"items":[' + ITEM + b"]}",
        b'{"user_id":1,"items":[' + ITEM + b'],"items":[' + ITEM + b"]}",
        b'{"user_id":1,"us\\u0065r_id":2,"items":[' + ITEM + b"]}",
        b'{"user_id":1,"items":[{"product_id":1,"quantity":1,"quantity":1}]}',
    ],
)
async def test_a_body_that_can_not_be_read_in_one_way_only_is_malformed(browser: Browser, body: bytes) -> None:
    answer = await browser.send("POST", "/orders", body)
    assert (answer.status, answer.code) == (400, "malformed_body")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"null", ""),
        (b"[]", ""),
        (b'"order"', ""),
        (b"true", ""),
        (b"1", ""),
        (b"[" * 60_000, ""),
        (b'{"user_id":1,"items":' + b"[" * 60_000, "/items/0"),
        (b'{"a":' * 10_000, "/a"),
        (b"{}", "/user_id"),
        (b'{"user_id":1}', "/items"),
        (an_order(status="PAID"), "/status"),
        (an_order(total_price=1), "/total_price"),
        (an_order(**{"n" * 5000: 1}), "/" + "n" * 100 + "..."),
        (an_order(user_id=""), "/user_id"),
        (an_order(user_id="0"), "/user_id"),
        (an_order(user_id="9223372036854775808"), "/user_id"),
        (an_order(user_id="a\nb"), "/user_id"),
        (an_order(user_id="ana\n"), "/user_id"),
        (an_order(customer_email="ana@example.org\n"), "/customer_email"),
        (an_order(user_id="x" * 65), "/user_id"),
        (an_order(user_id=1.5), "/user_id"),
        (an_order(user_id=True), "/user_id"),
        (an_order(user_id=None), "/user_id"),
        (an_order(user_id=0), "/user_id"),
        (an_order(user_id=-1), "/user_id"),
        (an_order(user_id=2**63), "/user_id"),
        (an_order(user_id=2**64), "/user_id"),
        (an_order(user_id="\x00"), "/user_id"),
        (an_order(user_id="x" * 60_000), "/user_id"),
        (b'{"user_id":"\\u0000"}', "/user_id"),
        (an_order(items=None), "/items"),
        (an_order(items={}), "/items"),
        (an_order(items=ITEM.decode()), "/items"),
        (of_items(), "/items"),
        (of_items(*[{"product_id": n, "quantity": 1} for n in range(1, 102)]), "/items"),
        (of_items(None), "/items/0"),
        (of_items({"product_id": 1, "quantity": 1}, {"product_id": 1}), "/items/1/quantity"),
        (of_items({"product_id": 1, "quantity": 1, "price": 0}), "/items/0/price"),
        (of_items({"product_id": 1, "quantity": 1, "unit_price": -1}), "/items/0/unit_price"),
        (of_items({"product_id": 0, "quantity": 1}), "/items/0/product_id"),
        (of_items({"product_id": 1, "quantity": "1"}), "/items/0/quantity"),
        *(
            (of_quantity(written), "/items/0/quantity")
            for written in ("0", "-0", "-1", "1.5", "1.0", "1e2", str(2**31), str(2**63), "1e400", "9" * 5000, "true")
        ),
    ],
)
async def test_a_body_that_breaks_a_rule_is_answered_with_the_field(browser: Browser, body: bytes, field: str) -> None:
    answer = await browser.send("POST", "/orders", body)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.errors[field]


def test_no_pattern_of_a_body_lets_a_line_feed_follow() -> None:
    routes: dict[str, Route] = app_over(Shop().use_cases).routes  # type: ignore[attr-defined]
    bodies = [route.body.type for route in routes.values() if route.body is not None]
    _, shapes = msgspec.json.schema_components([*bodies, *ROWS.values()])
    patterns = set(patterns_in(shapes))
    assert patterns
    assert [pattern for pattern in patterns if not pattern.endswith(r"\Z")] == []


def patterns_in(shape: Any) -> Iterator[str]:
    parts = shape.items() if isinstance(shape, dict) else enumerate(shape) if isinstance(shape, list) else ()
    for key, part in parts:
        if key == "pattern" and isinstance(part, str):
            yield part
        yield from patterns_in(part)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"{}", ["/user_id", "/items"]),
        (b'{"user":1}', ["/user_id", "/items", "/user"]),
        (an_order(user_id="", status="PAID", total_price=1), ["/user_id", "/status", "/total_price"]),
        (an_order(user_id=0, items=[]), ["/user_id", "/items"]),
        (
            of_items({"product_id": 0, "quantity": 0}, {"product_id": 1, "quantity": 1}, {"quantity": 1.5, "price": 1}),
            ["/items/0/product_id", "/items/0/quantity", "/items/2/product_id", "/items/2/quantity", "/items/2/price"],
        ),
        (of_items(1, None, "x", [], {}), ["/items/0", "/items/1", "/items/2", "/items/3", *MISSING_IN_ITEM_4]),
        # Behind the first error it is no JSON, so nothing more can be said.
        (b'{"user_id":"","items":[{"product_id":0}', ["/user_id"]),
    ],
)
async def test_every_rule_that_a_body_breaks_is_told(browser: Browser, body: bytes, fields: list[str]) -> None:
    answer = await browser.send("POST", "/orders", body)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.wrong == fields
    assert all(answer.errors.values())


async def test_a_body_that_breaks_a_thousand_rules_is_told_of_some(browser: Browser) -> None:
    answer = await browser.send("POST", "/orders", of_items(*[{}] * 1000))
    assert answer.status == 422
    assert 10 < len(answer.body["errors"]) <= 100


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("limit=0&user_id=&status=paid&page=2", ["limit", "user_id", "status", "page"]),
        ("limit=1&limit=0&user=1", ["limit", "user"]),
        ("limit=0&limit=1", ["limit", "limit"]),
    ],
)
async def test_every_parameter_that_is_wrong_is_told(browser: Browser, query: str, fields: list[str]) -> None:
    answer = await browser.get(f"/orders?{query}")
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert answer.wrong == fields


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/orders"), ("GET", ADDRESS), ("GET", f"{ADDRESS}/events"), ("DELETE", ADDRESS), ("GET", "/products/1")],
)
async def test_a_parameter_that_does_nothing_is_refused(shop: Shop, browser: Browser, method: str, path: str) -> None:
    await shop.sells()
    for query in ("x=1", "limit=1", "wanted=payments"):
        answer = await browser.send(method, f"{path}?{query}", an_order() if method == "POST" else b"")
        assert (answer.status, answer.code) == (422, "invalid_request")
        assert list(answer.errors) == [query.partition("=")[0]]
    assert (await browser.get("/orders")).body["items"] == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        *((body, 422, "invalid_request") for body in (b"null", b"[]", b'"{}"', b"0", b"true", b'{"amount":1}')),
        *((body, 400, "malformed_body") for body in (b"{}x", b"{}{}", b'"', b"\x00", b"{" * 9, b"{,}")),
    ],
)
async def test_a_request_to_pay_says_nothing_more(
    shop: Shop, browser: Browser, body: bytes, status: int, code: str
) -> None:
    await shop.sells()
    order_id = (await browser.order())["order_id"]
    answer = await browser.send("POST", f"/orders/{order_id}/pay", body)
    assert (answer.status, answer.code) == (status, code)
    assert (await browser.get(f"/orders/{order_id}")).body["status"] == "PENDING"


@pytest.mark.parametrize("body", [b"", b" ", b"\r\n", b"{}", b"{ }", b" {\t}\r\n", b"{\n}"])
async def test_a_request_to_pay_may_be_written_in_any_way(shop: Shop, browser: Browser, body: bytes) -> None:
    await shop.sells()
    path = f"/orders/{(await browser.order())['order_id']}/pay"
    first = await browser.send("POST", path, body, keys=["monday"])
    # However its JSON is formatted, it is the same request.
    again = await browser.send("POST", path, b"{  }", keys=["monday"])
    assert (first.status, again.status, again.body) == (202, 202, first.body)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b'{"status":"CANCELLED","status":"COMPLETED"}', 400),
        (b'{"status":"\\ud800"}', 400),
        (b'{"status":"\xff"}', 400),
        (b"{}", 422),
        (b"null", 422),
        (b'{"status":null}', 422),
        (b'{"status":1}', 422),
        (b'{"status":["CANCELLED"]}', 422),
        (b'{"status":"\\u0000"}', 422),
        (b'{"status":"CANCELLED","version":1}', 422),
    ],
)
async def test_a_status_is_one_word_in_one_member(browser: Browser, body: bytes, status: int) -> None:
    answer = await browser.send("PATCH", f"{ADDRESS}/status", body)
    assert answer.status == status
    assert answer.code in {"malformed_body", "invalid_request"}


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "json", "\xff"])
async def test_a_body_that_is_not_declared_as_json_is_not_read(browser: Browser, content_type: str | None) -> None:
    for method, address in (("POST", "/orders"), ("PATCH", f"{ADDRESS}/status")):
        answer = await browser.send(method, address, an_order(), content_type=content_type)
        assert (answer.status, answer.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.shop+json"]
)
async def test_json_may_be_declared_in_each_of_its_ways(shop: Shop, browser: Browser, content_type: str) -> None:
    await shop.sells()
    answer = await browser.send("POST", "/orders", an_order(), content_type=content_type)
    assert answer.status == 201


async def test_a_body_over_the_limit_is_refused(shop: Shop, use_cases: UseCases) -> None:
    await shop.sells()
    browser = Browser(app_over(use_cases, max_body=1000))
    just_fits = await browser.send("POST", "/orders", an_order().ljust(1000))
    too_large = await browser.send("POST", "/orders", an_order().ljust(1001))
    assert just_fits.status == 201
    assert (too_large.status, too_large.code) == (413, "body_too_large")
    assert "1000 bytes" in too_large.body["detail"]


@pytest.mark.parametrize(
    "order_id",
    [
        "1",
        "%20",
        "%00",
        "%FF",
        "null",
        "01890A5D-AC96-774B-BCCE-B302099A8057",
        "01890a5dac96774bbcceb302099a8057",
        "{01890a5d-ac96-774b-bcce-b302099a8057}",
        "urn:uuid:01890a5d-ac96-774b-bcce-b302099a8057",
        "01890a5d-ac96-774b-bcce-b302099a8057%0A",
        "a" * 5000,
    ],
)
async def test_the_id_of_an_order_has_one_spelling(browser: Browser, order_id: str) -> None:
    for answer in (
        await browser.get(f"/orders/{order_id}"),
        await browser.get(f"/orders/{order_id}/events"),
        await browser.delete(f"/orders/{order_id}"),
        await browser.send("POST", f"/orders/{order_id}/pay"),
        await browser.patch(f"/orders/{order_id}/status", {"status": "CANCELLED"}),
    ):
        assert (answer.status, answer.code) == (404, "not_an_id")
        assert "lower case" in answer.body["detail"]


@pytest.mark.parametrize(
    "product_id", ["0", "-1", "+1", "01", "1.0", "1e3", "%201", "%D9%A1", "1_0", str(2**63), "9" * 5000, "pen"]
)
async def test_the_id_of_a_product_has_one_spelling(shop: Shop, browser: Browser, product_id: str) -> None:
    await shop.sells()
    answer = await browser.get(f"/products/{product_id}")
    assert (answer.status, answer.code) == (404, "not_an_id")
    assert "whole number" in answer.body["detail"]


@pytest.mark.parametrize(
    "path", ["/", "/order", "/orders/", "/orders//pay", "/orders/%2e%2e/products", "/static/x", "/%00"]
)
async def test_an_address_has_one_spelling(browser: Browser, path: str) -> None:
    answer = await browser.get(path)
    assert answer.status == 404
    assert answer.code in {"not_found", "not_an_id"}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/orders", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("DELETE", "/orders", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("POST", ADDRESS, {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH"}),
        ("GET", f"{ADDRESS}/pay", {"OPTIONS", "POST"}),
        ("PUT", f"{ADDRESS}/status", {"OPTIONS", "PATCH"}),
        ("PUT", "/products", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("TRACE", "/health/live", {"GET", "HEAD", "OPTIONS"}),
    ],
)
async def test_a_method_that_is_not_there_names_those_that_are(
    browser: Browser, method: str, path: str, allowed: set[str]
) -> None:
    answer = await browser.send(method, path)
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == allowed


async def test_what_may_be_done_can_be_asked_for(app: Quart) -> None:
    response = await app.test_client().options("/orders")
    assert response.status_code == 204
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}
    assert await response.get_data(as_text=False) == b""


# Bodies that come close to being orders get further than noise does.
PIECES = [
    b'{"user_id":', b'"items":', b'"status":', b'{"product_id":', b'"quantity":', b"[", b"]", b"{", b"}", b",", b":",
    b"1", b"0", b"-1", b"1.5", b"1e400", b"9" * 40, b"null", b"true", b"NaN", b'"', b'"1"', b"\\ud800", b"\x00",
    b"\xff",
]  # fmt: skip
near_json = st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join)
an_escape = st.integers(0, 255).map(lambda byte: f"%{byte:02X}")
a_path = st.lists(an_escape | st.sampled_from(list("/.;&=+-aZ01~*")), max_size=20).map("".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=near_json | st.binary(max_size=50), address=st.sampled_from(["/orders", f"{ADDRESS}/pay"]))
async def test_no_body_whatever_breaks_the_service(browser: Browser, body: bytes, address: str) -> None:
    answer = await browser.send("POST", address, body)
    assert answer.status in {400, 404, 422}
    assert answer.code


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=a_path)
async def test_no_path_whatever_breaks_the_service(browser: Browser, path: str) -> None:
    for address in (f"/x{path}", f"/orders/{path}", f"/products?{path}"):
        answer = await browser.get(address)
        assert answer.status in {200, 404, 422}
