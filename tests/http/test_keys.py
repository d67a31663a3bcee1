"""API keys over HTTP, from the first one to the last request with it."""

from typing import Any

import pytest

from application.access.manage_keys import NewKey
from application.access.principal import SYSTEM
from application.access.scopes import Role, Scope
from application.assembly.use_cases import UseCases
from entrypoints.http.authentication import Bearer
from tests.http.browser import Answer, Browser, app_over
from tests.unit.shop import Shop

TILL = {"name": "till", "role": "shop"}


def browser_of(use_cases: UseCases, *, required: bool = True) -> Browser:
    return Browser(app_over(use_cases, authenticate=Bearer(use_cases.authenticate, required=required)))


async def ask(browser: Browser, method: str, path: str, token: str, body: bytes = b"") -> Answer:
    return await browser.send(method, path, body, more=[("Authorization", f"Bearer {token}")])


@pytest.fixture
async def admin(use_cases: UseCases) -> str:
    return (await use_cases.create_key(SYSTEM, NewKey(name="admin", role=Role.ADMIN))).token


async def test_a_key_is_made_used_rotated_and_revoked(shop: Shop, use_cases: UseCases, admin: str) -> None:
    await shop.sells()
    browser = browser_of(use_cases)
    made = await ask(browser, "POST", "/keys", admin, b'{"name": "till", "role": "shop", "networks": ["127.0.0.0/8"]}')
    assert (made.status, made.body["key"]["name"], made.body["key"]["networks"]) == (201, "till", ["127.0.0.0/8"])
    token, id_ = made.body["token"], made.body["key"]["id"]
    assert token.startswith(made.body["key"]["start"])
    other = await ask(browser, "POST", "/keys", admin, b'{"name": "ana", "role": "customer", "user_id": 7}')
    assert (await ask(browser, "GET", "/orders", other.body["token"])).status == 200

    rotated = await ask(browser, "POST", f"/keys/{id_}/rotate", admin, b'{"overlap": "24h"}')
    assert (rotated.status, rotated.body["key"]["scopes"]) == (201, made.body["key"]["scopes"])
    assert (await ask(browser, "DELETE", f"/keys/{id_}", admin)).status == 204
    assert (await ask(browser, "DELETE", f"/keys/{id_}", admin)).status == 204

    listed = await ask(browser, "GET", "/keys?limit=2", admin)
    rest = await ask(browser, "GET", f"/keys?limit=2&cursor={listed.body['next']}", admin)
    assert len(listed.body["items"] + rest.body["items"]) == 4
    assert rest.body["next"] is None
    for secret in (token, rotated.body["token"], admin):
        assert secret not in str(listed.body) + str(rest.body)
    assert [key["revoked_at"] for key in listed.body["items"] + rest.body["items"] if key["id"] == id_] != [None]


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (None, "holdfast keys create"),
        ("", "holdfast keys create"),
        ("Basic YTpi", "holdfast keys create"),
        ("Bearer", "checksum"),
        ("Bearer nothing", "checksum"),
        ("bearer hf_live_admin_x", "checksum"),
    ],
)
async def test_whoever_does_not_say_who_it_is_is_told_how(use_cases: UseCases, header: str | None, told: str) -> None:
    more = [] if header is None else [("Authorization", header)]
    answer = await browser_of(use_cases).send("GET", "/orders", more=more)
    assert (answer.status, answer.code) == (401, "unauthenticated")
    assert told in answer.body["detail"]
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_key_is_refused_as_what_it_is(use_cases: UseCases, admin: str) -> None:
    browser = browser_of(use_cases)
    read = await use_cases.create_key(SYSTEM, NewKey(name="read", role=Role.READ))
    answer = await ask(browser, "POST", "/keys", read.token, b"not even JSON")
    assert (answer.status, answer.code) == (403, "forbidden")
    assert Scope.KEYS_WRITE in answer.body["detail"]
    twice = await browser.send("GET", "/orders", more=[("Authorization", f"Bearer {admin}")] * 2)
    assert (twice.status, twice.errors) == (400, {"Authorization": "send the header only once"})


async def test_an_open_api_looks_at_a_key_that_is_sent(use_cases: UseCases, admin: str) -> None:
    browser = browser_of(use_cases, required=False)
    assert (await browser.get("/orders")).status == 200
    assert (await ask(browser, "GET", "/orders", admin)).status == 200
    assert (await ask(browser, "GET", "/orders", "nothing")).status == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"name": "x"}', "/role"),
        (b'{"name": "x", "role": "king"}', "/role"),
        (b'{"name": "", "role": "shop"}', "/name"),
        (b'{"name": "x", "role": "shop", "scopes": ["planets:move"]}', "/scopes/0"),
        (b'{"name": "x", "role": "shop", "user_id": 1}', "/user_id"),
        (b'{"name": "x", "role": "shop", "networks": ["x"]}', "/networks/0"),
        (b'{"name": "x", "role": "shop", "expires_at": "2026-01-01T00:00:00"}', "/expires_at"),
        (b'{"name": "x", "role": "shop", "more": 1}', "/more"),
    ],
)
async def test_a_wrong_wish_for_a_key_is_told_where(browser: Browser, shop: Shop, body: bytes, field: str) -> None:
    answer = await browser.send("POST", "/keys", body)
    assert answer.status == 422
    assert answer.errors.keys() == {field}
    assert shop.store.api_keys == {}


@pytest.mark.parametrize("overlap", ["8d", "-1s", "soon", "99999999999999999d", ""])
async def test_a_wrong_overlap_ends_no_key(shop: Shop, browser: Browser, use_cases: UseCases, overlap: str) -> None:
    issued = await use_cases.create_key(SYSTEM, NewKey(name="till", role=Role.SHOP))
    answer = await browser.post(f"/keys/{issued.key.id}/rotate", {"overlap": overlap})
    assert (answer.status, answer.errors.keys()) == (422, {"/overlap"})
    assert shop.store.api_keys == {issued.key.id: issued.key}


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59.999999Z"])
async def test_a_key_ends_at_a_moment_that_each_database_can_store(browser: Browser, shop: Shop, moment: str) -> None:
    assert (await browser.post("/keys", {**TILL, "expires_at": moment})).status == 201
    [key] = shop.store.api_keys.values()
    assert str(key.expires_at) == "9998-12-31 00:00:00+00:00"


async def test_an_unknown_key_is_404(browser: Browser) -> None:
    for answer in (await browser.delete("/keys/nothing"), await browser.post("/keys/%00/rotate", {})):
        assert (answer.status, answer.code) == (404, "unknown_key")


async def test_an_idempotency_key_is_refused_since_no_secret_is_stored(browser: Browser, shop: Shop) -> None:
    answer: Any = await browser.post("/keys", TILL, key="monday")
    assert (answer.status, shop.store.api_keys) == (400, {})


async def test_a_member_that_is_written_twice_is_refused(browser: Browser) -> None:
    # As many as a body has that leaves nothing out.
    body = b'{"name":"a","role":"read","role":"admin","kind":"live","scopes":null,"user_id":null,"networks":[]}'
    answer = await browser.send("POST", "/keys", body)
    assert (answer.status, answer.code) == (400, "malformed_body")
