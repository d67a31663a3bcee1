"""All that is wrong with a request is told in one answer, whichever part of the code finds it."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import combinations
from typing import Any

import pytest
from attrs import field, frozen

from entrypoints.http.preconditions import GUARDS, TAGS
from entrypoints.http.routes.route import Route
from tests.http.browser import Answer, Browser, app_over
from tests.unit.shop import Shop

NOWHERE = "01890a5d-ac96-774b-bcce-b302099a8057"
ORDER = "/orders/01890a5d-ac96-774b-bcce-b302099a8057"
KEY = "/keys/0123456789ab"
ENDPOINT = "/webhook-endpoints/01890a5d-ac96-774b-bcce-b302099a8057"
INK = {"name": "ink", "price": 399, "currency": "EUR"}
TILL = {"name": "till", "role": "shop"}
HOOK = {"url": "https://shop.example/", "events": ["order.*"]}
ITEM = {"product_id": 1, "quantity": 1}
TOO_MANY = [{"product_id": 1, "quantity": 1_000_000}, ITEM]


@frozen
class Case:
    """A request that would be right, and what can be wrong with it: where it is told, and what is sent so."""

    method: str
    path: str
    right: Mapping[str, Any]
    # What each of these adds to the body.
    body: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    query: Mapping[str, str] = field(factory=dict)
    headers: Mapping[str, str] = field(factory=dict)

    @property
    def places(self) -> list[str]:
        return [*self.body, *self.query, *self.headers]

    async def send(self, browser: Browser, wrong: Sequence[str]) -> Answer:
        body: dict[str, Any] = dict(self.right)
        for place in wrong:
            for name, value in self.body.get(place, {}).items():
                merged = isinstance(value, dict) and isinstance(body.get(name), dict)
                body[name] = {**body[name], **value} if merged else value
        query = "&".join(f"{name}={self.query[name]}" for name in wrong if name in self.query)
        headers = [(name, self.headers[name]) for name in wrong if name in self.headers]
        path = f"{self.path}?{query}" if query else self.path
        content = b"" if self.method == "GET" else json.dumps(body).encode()
        return await browser.send(self.method, path, content, more=headers)


BAD_KEY = {"Idempotency-Key": "\u00e9"}
PRODUCT = {
    "/name": {"name": "\0"},
    "/price": {"price": -1},
    "/currency": {"currency": "USN"},
    "/sku": {"sku": "a\nb"},
    "/metadata": {"metadata": {"": "x"}},
    "/colour": {"colour": "blue"},
}
CASES = {
    "order": Case(
        "POST",
        "/orders",
        {"user_id": 1, "items": [ITEM]},
        {
            "/user_id": {"user_id": "9223372036854775808"},
            "/items/1/quantity": {"items": TOO_MANY},
            "/email": {"email": "nobody"},
        },
        headers=BAD_KEY,
    ),
    "check": Case(
        "POST", "/orders/check", {"items": [ITEM]}, {"/items/1/quantity": {"items": TOO_MANY}, "/x": {"x": 1}}
    ),
    "search": Case(
        "POST",
        "/orders/search",
        {},
        {"/user_id": {"user_id": "0"}, "/cursor": {"cursor": "x"}, "/limit": {"limit": 0}, "/x": {"x": 1}},
    ),
    "list of orders": Case(
        "GET", "/orders", {}, query={"limit": "0", "cursor": "x", "status": "LOST", "user_id": "0", "x": "1"}
    ),
    "list of orders that are searched for": Case(
        "GET", "/orders", {}, query={"count": "capped", "cursor": "A" * 40, "email": "ana@example.org"}
    ),
    "list of products": Case("GET", "/products", {}, query={"limit": "0", "cursor": "=", "active": "perhaps"}),
    "list of jobs": Case("GET", "/jobs", {}, query={"limit": "0", "cursor": "", "kind": "?"}),
    "status": Case(
        "PATCH",
        f"{ORDER}/status",
        {"status": "CANCELLED"},
        {"/status": {"status": "PAID"}, "/x": {"x": 1}},
        headers={"If-Match": "v1"},
    ),
    "product": Case("POST", "/products", INK, PRODUCT, headers=BAD_KEY),
    "change of a product": Case("PATCH", "/products/1", {}, PRODUCT, headers={"If-Match": "v1"}),
    "stock": Case(
        "POST",
        "/products/1/stock",
        {"delta": 1, "reason": "count"},
        {"/delta": {"delta": "1"}, "/reason": {"reason": "\0"}, "/x": {"x": 1}},
        headers=BAD_KEY,
    ),
    "key": Case(
        "POST",
        "/keys",
        TILL,
        {
            "/name": {"name": "\0"},
            "/networks/0": {"networks": ["10.0.0.0/33", "10.0.0.0/8"]},
            "/user_id": {"user_id": "0"},
            "/kind": {"kind": "dead"},
        },
    ),
    "key, by the rules of keys": Case(
        "POST",
        "/keys",
        TILL,
        {
            "/name": {"name": "\0"},
            "/expires_at": {"expires_at": "2026-02-28T12:00:00Z"},
            "/user_id": {"user_id": 7},
            "/networks/1": {"networks": ["10.0.0.0/8", "fe80::%eth0"]},
        },
    ),
    "rotation of a key": Case("POST", f"{KEY}/rotate", {}, {"/overlap": {"overlap": "soon"}, "/x": {"x": 1}}),
    "webhook endpoint": Case(
        "POST",
        "/webhook-endpoints",
        HOOK,
        {
            "/url": {"url": "https://ana@shop.example/"},
            "/events/0": {"events": ["order.teleported"]},
            "/description": {"description": "a\nb"},
            "/headers": {"headers": {"Host": "x"}},
            "/max_concurrency": {"max_concurrency": 0},
        },
    ),
    "rotation of a secret": Case(
        "POST", f"{ENDPOINT}/rotate-secret", {}, {"/previous_valid_for": {"previous_valid_for": "x"}, "/x": {"x": 1}}
    ),
    "export": Case(
        "POST",
        "/exports",
        {"what": "orders", "filter": {}},
        {
            "/format": {"format": "pdf"},
            "/filter/user_id": {"filter": {"user_id": "0"}},
            "/filter/total_min": {"filter": {"total_min": -1}},
        },
    ),
    "bulk operation": Case(
        "POST",
        "/bulk-operations",
        {"act": "cancel", "orders": {"status": ["PENDING"]}, "reason": "x"},
        {
            "/orders/user_id": {"orders": {"user_id": "0"}},
            "/count": {"count": -1},
        },
        headers=BAD_KEY,
    ),
    "message": Case("POST", "/messages", {"content": "hello"}, {"/content": {"content": "\0"}, "/x": {"x": 1}}),
    "edited message": Case("POST", "/dead-letters/1/try", {}, {"/message": {"message": "{}"}, "/x": {"x": 1}}),
}


ROUTES: dict[str, Route] = app_over(Shop().use_cases, ancestors=None).routes  # type: ignore[attr-defined]
OWN = {"<order_id>": NOWHERE, "<job_id>": NOWHERE, "<endpoint_id>": NOWHERE, "<key_id>": "0123456789ab"}


def wrong_with(route: Route) -> dict[str, tuple[str, Any]]:
    """What can be wrong with a request to any route: where it is told, and the part that says it."""
    wrong: dict[str, tuple[str, Any]] = {
        "colour": ("query", "colour=blue"),
        "Content-Digest": ("header", "sha-256=:?:"),
        "X-Http-Method-Override": ("header", "DELETE"),
        # Either no key is honoured, or this one is none.
        "Idempotency-Key": ("header", "\u00e9"),
        "Content-Type": ("header", "text/plain"),
        "Content-Encoding": ("header", "gzip"),
    }
    if not route.takes and (route.body is None or not route.needs_body):
        # Without a body it has no meaning.
        del wrong["Content-Type"]
    # What these ask for is not honoured.
    wrong["Expect"] = ("header", "200-ok")
    for guard in GUARDS - route.honours:
        if guard == "If-Match" or route.method != "GET":
            wrong[guard] = ("header", '"v1"')
    if "limit" in route.parameters:
        wrong["limit"] = ("query", "limit=x")
    wrong |= dict.fromkeys(sorted(TAGS & route.honours), ("header", "v1"))
    if "If-Unmodified-Since" in route.honours:
        wrong["If-Unmodified-Since"] = ("header", "yesterday")
    if route.body is not None:
        wrong["/colour"] = ("body", b'{"colour":"blue"}')
        wrong[""] = ("body", b"{")
    return wrong


async def send_wrong(browser: Browser, route: Route, wrong: Sequence[tuple[str, Any]], names: Sequence[str]) -> Answer:
    parts = dict(zip(names, wrong, strict=True))
    path = reduce(lambda path, name: path.replace(*name), OWN.items(), route.path)
    path = re.sub("<[^>]+>", "1", path)
    query = "&".join(value for kind, value in parts.values() if kind == "query")
    headers = [(name, value) for name, (kind, value) in parts.items() if kind == "header" and name != "Content-Type"]
    body = next((value for kind, value in parts.values() if kind == "body"), b"")
    _, content_type = parts.get("Content-Type", ("", "application/json"))
    path = f"{path}?{query}" if query else path
    return await browser.send(route.method, path, body, content_type=content_type, more=headers)


@pytest.mark.parametrize("name", ROUTES)
async def test_what_two_parts_of_a_request_have_wrong_is_told_in_one_answer(browser: Browser, name: str) -> None:
    """Of any route: whichever of the two is found first, the other one is told as well."""
    route = ROUTES[name]
    wrong = wrong_with(route)
    for first, second in combinations(wrong, 2):
        kinds = {wrong[first][0], wrong[second][0]}
        if kinds == {"body"} or ("body" in kinds and {first, second} & {"Content-Type", "Content-Encoding", "Expect"}):
            # There is one body. What is in another type or encoding is not read, nor what is not sent yet.
            continue
        answer = await send_wrong(browser, route, [wrong[first], wrong[second]], [first, second])
        assert {first, second} <= set(answer.wrong), answer.body
        if not {first, second} <= GUARDS:
            # Where there is something to mend first, nobody knows whether a precondition would hold.
            assert answer.status != 412, answer.body


@pytest.mark.parametrize("name", CASES)
async def test_all_that_is_wrong_is_told_in_one_answer(shop: Shop, browser: Browser, name: str) -> None:
    await shop.sells()
    case = CASES[name]
    for place in case.places:
        answer = await case.send(browser, [place, *(["email"] if "email" in case.query else [])])
        if place != "email":
            assert place in answer.wrong, (place, answer.body)
    answer = await case.send(browser, case.places)
    assert answer.status in {400, 422}
    assert sorted(answer.wrong) == sorted(place for place in case.places if place != "email"), answer.body


@pytest.mark.parametrize("name", CASES)
async def test_two_that_are_wrong_are_told_in_one_answer(shop: Shop, browser: Browser, name: str) -> None:
    """So that none is found only after another one was mended."""
    await shop.sells()
    case = CASES[name]
    places = [place for place in case.places if place != "email"]
    always = ["email"] if "email" in case.query else []
    for first in places:
        for second in places:
            if first < second:
                answer = await case.send(browser, [first, second, *always])
                assert sorted(answer.wrong) == [first, second], answer.body


async def test_a_refusal_is_repeated_with_all_that_is_wrong(shop: Shop, browser: Browser) -> None:
    wrong = INK | PRODUCT["/name"] | PRODUCT["/sku"] | PRODUCT["/metadata"]
    first = await browser.post("/products", wrong, key="monday")
    again = await browser.post("/products", wrong, key="monday")
    assert sorted(first.wrong) == ["/metadata", "/name", "/sku"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status, {**again.body, "request_id": ""}) == (first.status, {**first.body, "request_id": ""})
    assert shop.store.products == {}
