"""What every address has: a head, its methods, a version in front of it, pages of other origins, a next page."""

import pytest
from quart import Quart

from application.assembly.use_cases import UseCases
from entrypoints.http.digests import DIGESTS
from entrypoints.http.headers import KEY_HEADERS
from entrypoints.http.routes.route import Route
from tests.http.browser import Answer, Browser, app_over
from tests.unit.shop import Shop

ORDER = b'{"user_id":1,"items":[{"product_id":1,"quantity":1}]}'
ORIGIN = "https://shop.example"


async def test_a_head_is_that_of_the_answer(shop: Shop, app: Quart) -> None:
    order = await shop.order((await shop.sells(), 1))
    for path in ("/orders", f"/orders/{order.id}", "/products/1", "/health/live", "/problems", "/orders?limit=0", "/x"):
        client = app.test_client()
        answer, head = await client.get(path), await client.head(path)
        assert head.status_code == answer.status_code
        own = {"request-id"}
        assert [item for item in head.headers.items() if item[0].lower() not in own] == [
            item for item in answer.headers.items() if item[0].lower() not in own
        ]
        assert "Content-Length" in head.headers


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/orders", "GET, HEAD, OPTIONS, POST"),
        ("/orders/x", "DELETE, GET, HEAD, OPTIONS"),
        ("/orders/x/pay", "OPTIONS, POST"),
    ],
)
async def test_the_methods_of_an_address_can_be_asked_for(
    browser: Browser, prefix: str, path: str, methods: str
) -> None:
    answer = await browser.send("OPTIONS", prefix + path)
    # Other routes may allow more.
    assert set(methods.split(", ")) <= set(answer.headers["Allow"].split(", "))
    assert (answer.status, answer.body) == (204, None)
    refused = await browser.send("TRACE", prefix + path)
    assert (refused.status, refused.headers["Allow"]) == (405, answer.headers["Allow"])
    assert (await browser.send("OPTIONS", prefix + "/nowhere")).status == 404


async def test_each_address_is_also_there_behind_its_version(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    placed = await browser.send("POST", "/v1/orders", ORDER, keys=["monday"])
    address = placed.headers["Location"]
    assert address == f"/v1/orders/{placed.body['order_id']}"
    assert (await browser.get(address)).body == (await browser.get(address.removeprefix("/v1"))).body == placed.body
    # It is one resource, so it is one request.
    again = await browser.send("POST", "/orders", ORDER, keys=["monday"])
    assert (again.status, again.headers["Location"]) == (201, address.removeprefix("/v1"))
    assert again.headers["Idempotent-Replayed"] == "true"
    for path in ("/v1", "/v1/v1/orders", "/v2/orders", "/v1orders", "//v1/orders"):
        assert (await browser.get(path)).code == "not_found"


@pytest.mark.parametrize("prefix", ["", "/v1"])
@pytest.mark.parametrize("path", ["/orders?user_id=1&status=PENDING&limit=2", "/products?limit=2"])
async def test_a_page_links_to_the_next_one(shop: Shop, browser: Browser, prefix: str, path: str) -> None:
    for _ in range(5):
        await shop.order((await shop.sells(), 1))
    seen, address = [], prefix + path
    for _ in range(3):
        page = await browser.get(address)
        seen += [item.get("order_id") or item["id"] for item in page.body["items"]]
        if page.body["next"] is None:
            break
        address, _, relation = page.headers["Link"].removeprefix("<").partition(">")
        assert relation == '; rel="next"'
        assert address.startswith(f"{prefix}{path.partition('?')[0]}?")
        assert f"cursor={page.body['next']}" in address
    assert "Link" not in page.headers
    assert len(set(seen)) == len(seen) == 5


def allowing(use_cases: UseCases, *origins: str) -> Browser:
    return Browser(app_over(use_cases, cors_origins=origins))


def cors_of(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.lower().startswith("access-control")}


async def test_without_the_setting_no_other_origin_is_allowed(browser: Browser) -> None:
    asked = [("Origin", ORIGIN), ("Access-Control-Request-Method", "POST")]
    for method in ("GET", "OPTIONS"):
        answer = await browser.send(method, "/orders", more=asked)
        assert cors_of(answer) == {}
        assert "Vary" not in answer.headers


@pytest.mark.parametrize(("path", "status"), [("/orders", 200), ("/nowhere", 404), ("/orders?limit=0", 422)])
async def test_an_allowed_origin_may_read_each_answer(use_cases: UseCases, path: str, status: int) -> None:
    browser = allowing(use_cases, ORIGIN, "http://localhost:3000")
    answer = await browser.send("GET", path, more=[("Origin", ORIGIN)])
    assert answer.status == status
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"ETag", "Link", "Location", "Request-Id", "Retry-After"} <= set(exposed)
    for origin in ("https://other.example", f"{ORIGIN}:443", f"{ORIGIN}.evil.example", "null", ""):
        other = await browser.send("GET", path, more=[("Origin", origin)])
        assert (other.status, cors_of(other)) == (status, {})
        assert other.headers["Vary"] == "Origin"


async def test_a_browser_may_ask_first(use_cases: UseCases, app: Quart) -> None:
    browser = allowing(use_cases, ORIGIN)
    asked = [("Access-Control-Request-Method", "DELETE"), ("Access-Control-Request-Headers", "idempotency-key")]
    answer = await browser.send("OPTIONS", "/orders", more=[("Origin", ORIGIN), *asked])
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Access-Control-Allow-Methods"] == answer.headers["Allow"]
    headers = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
    honoured = {header for route in app.routes.values() for header in route.honours}  # type: ignore[attr-defined]
    looked_at = {*honoured, *KEY_HEADERS, *DIGESTS, "Authorization", "Content-Type", "X-Admin-Password", "Request-Id"}
    assert {*map(str.lower, looked_at), "last-event-id", "if-modified-since", "traceparent"} <= set(headers)
    assert {"Origin", "Access-Control-Request-Method, Access-Control-Request-Headers"} == set(
        answer.headers.getlist("Vary")
    )
    other = await browser.send("OPTIONS", "/orders", more=[("Origin", "https://other.example"), *asked])
    assert (other.status, cors_of(other)) == (204, {})


async def test_all_origins_may_be_allowed(use_cases: UseCases) -> None:
    answer = await allowing(use_cases, "*").send("GET", "/orders", more=[("Origin", "null")])
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in answer.headers


async def test_a_fixed_address_has_its_own_methods_and_is_no_id(app: Quart, browser: Browser) -> None:
    routes: list[Route] = list(app.routes.values())  # type: ignore[attr-defined]
    fixed = {route.path for route in routes if "<" not in route.path}
    assert {"/orders/check", "/orders/search", "/orders"} <= fixed
    for path in sorted(fixed):
        methods = {route.method for route in routes if route.path == path}
        allowed = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        assert set((await browser.send("OPTIONS", path)).headers["Allow"].split(", ")) == allowed
        for method in {"GET", "PATCH", "DELETE"} - methods:
            assert (await browser.send(method, path)).status == 405
