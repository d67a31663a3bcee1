"""A guard that is asked for is applied or refused (RFC 9110, section 13)."""

import asyncio
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tests.http.browser import Answer, Browser
from tests.unit.shop import Shop

CANCEL = ("PATCH", "/status", b'{"status":"CANCELLED"}')
DELETE = ("DELETE", "", b"")
PAY = ("POST", "/pay", b"")
CHANGES = pytest.mark.parametrize("change", [CANCEL, DELETE, PAY])

MISSED = [
    ("If-Match", '"nonsense"'),
    ("If-Match", '"v2"'),
    ("If-Match", 'W/"v1"'),
    ("If-Match", '"v2", W/"v1", "v10"'),
    ("If-Match", '"V1"'),
    ("If-Match", '"1"'),
    ("If-None-Match", "*"),
    ("If-None-Match", '"v1"'),
    ("If-None-Match", 'W/"v1"'),
    ("If-None-Match", '"x", "v1"'),
    ("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("If-Unmodified-Since", "Sunday, 06-Nov-94 08:49:37 GMT"),
    ("If-Unmodified-Since", "Sun Nov  6 08:49:37 1994"),
]
MET = [
    ("If-Match", "*"),
    ("If-Match", '"v1"'),
    ("If-Match", ' "x" ,, W/"y,z", "v1"'),
    ("If-None-Match", '"v2"'),
    ("If-None-Match", '"", W/"v11"'),
    ("If-Unmodified-Since", "Sun, 06 Nov 2094 08:49:37 GMT"),
    ("If-Modified-Since", "Sun, 06 Nov 2094 08:49:37 GMT"),
    ("If-Modified-Since", "nonsense"),
]
MALFORMED = [
    ("If-Match", "nonsense"),
    ("If-Match", "v1"),
    ("If-Match", ""),
    ("If-Match", ","),
    ("If-Match", '*, "v1"'),
    ("If-Match", '"v1'),
    ("If-Match", '"v1" "v2"'),
    ("If-Match", 'w/"v1"'),
    ("If-None-Match", "1"),
    ("If-None-Match", '"v 1"'),
    ("If-Unmodified-Since", "nonsense"),
    ("If-Unmodified-Since", "2026-11-29T04:00:00Z"),
    ("If-Unmodified-Since", ""),
]


@pytest.fixture
async def order(shop: Shop, browser: Browser) -> Any:
    await shop.sells()
    return await browser.order()


async def send(browser: Browser, order: Any, change: tuple[str, str, bytes], *headers: tuple[str, str]) -> Answer:
    method, below, body = change
    return await browser.send(method, f"/orders/{order['order_id']}{below}", body, more=headers)


async def read(browser: Browser, order: Any, *headers: tuple[str, str]) -> Answer:
    return await browser.send("GET", f"/orders/{order['order_id']}", more=headers)


async def is_untouched(browser: Browser, order: Any) -> bool:
    return bool((await read(browser, order)).body == order)


async def test_each_answer_with_an_order_has_its_version_as_a_strong_entity_tag(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    placed = await browser.post("/orders", {"user_id": 1, "items": [{"product_id": 1, "quantity": 1}]})
    assert placed.headers["ETag"] == '"v1"'
    path = f"/orders/{placed.body['order_id']}"
    for answer in (await browser.get(path), await browser.post(f"{path}/pay", {}), await browser.get(path)):
        assert answer.headers["ETag"] == f'"v{answer.body["version"]}"'


@CHANGES
@pytest.mark.parametrize("guard", MISSED, ids=": ".join)
async def test_a_change_whose_guard_does_not_hold_is_not_made(
    browser: Browser, order: Any, change: tuple[str, str, bytes], guard: tuple[str, str]
) -> None:
    answer = await send(browser, order, change, guard)
    assert (answer.status, answer.code) == (412, "precondition_failed")
    assert await is_untouched(browser, order)


@CHANGES
@pytest.mark.parametrize("guard", MALFORMED, ids=": ".join)
async def test_a_guard_that_can_not_be_read_is_refused(
    browser: Browser, order: Any, change: tuple[str, str, bytes], guard: tuple[str, str]
) -> None:
    answer = await send(browser, order, change, guard)
    assert (answer.status, answer.code) == (400, "invalid_header")
    assert list(answer.errors) == [guard[0]]
    assert await is_untouched(browser, order)


@CHANGES
@pytest.mark.parametrize("guard", MET, ids=": ".join)
async def test_a_change_whose_guard_holds_is_made(
    browser: Browser, order: Any, change: tuple[str, str, bytes], guard: tuple[str, str]
) -> None:
    assert (await send(browser, order, change, guard)).status in {200, 202, 204}
    assert not await is_untouched(browser, order)


async def test_all_guards_must_hold_and_a_tag_takes_precedence_over_a_date(browser: Browser, order: Any) -> None:
    long_ago = ("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")
    for guards in (
        [("If-Match", '"v1"'), ("If-None-Match", '"v1"')],
        [("If-Match", '"v2"'), ("If-Unmodified-Since", "Sun, 06 Nov 2094 08:49:37 GMT")],
    ):
        assert (await send(browser, order, CANCEL, *guards)).status == 412
    split = [("If-Match", '"x"'), ("If-Match", '"v1"'), long_ago]
    assert (await send(browser, order, CANCEL, *split)).status == 200


async def test_the_date_of_a_guard_is_compared_exactly(shop: Shop, browser: Browser, order: Any) -> None:
    at = shop.clock()
    before, after = (format_datetime(at + timedelta(seconds=s), usegmt=True) for s in (-1, 1))
    assert (await send(browser, order, CANCEL, ("If-Unmodified-Since", before))).status == 412
    assert (await send(browser, order, CANCEL, ("If-Unmodified-Since", after))).status == 200


@CHANGES
async def test_a_guard_changes_nothing_for_an_order_that_does_not_exist(
    browser: Browser, change: tuple[str, str, bytes]
) -> None:
    nothing = {"order_id": "01890a5d-ac96-774b-bcce-b302099a8057"}
    for guard in (("If-Match", "*"), ("If-Match", '"v1"'), ("If-None-Match", "*")):
        assert (await send(browser, nothing, change, guard)).status == 404


async def test_of_clients_that_change_the_same_version_at_once_one_succeeds(browser: Browser, order: Any) -> None:
    changes = [send(browser, order, change, ("If-Match", '"v1"')) for change in (CANCEL, PAY, DELETE) * 5]
    statuses = [answer.status for answer in await asyncio.gather(*changes)]
    assert sum(status < 300 for status in statuses) == 1
    assert set(statuses) <= {200, 202, 204, 404, 412}


@pytest.mark.parametrize(
    ("guard", "status"),
    [
        (("If-None-Match", '"v1"'), 304),
        (("If-None-Match", 'W/"v1"'), 304),
        (("If-None-Match", '"x", "v1"'), 304),
        (("If-None-Match", "*"), 304),
        (("If-None-Match", '"v2"'), 200),
        (("If-Modified-Since", "Sun, 06 Nov 2094 08:49:37 GMT"), 304),
        (("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"), 200),
        (("If-Modified-Since", "nonsense"), 200),
        (("If-Match", '"v1"'), 200),
        (("If-Match", '"v2"'), 412),
        (("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"), 412),
        (("If-None-Match", "nonsense"), 400),
    ],
    ids=str,
)
async def test_a_read_is_conditional_too(browser: Browser, order: Any, guard: tuple[str, str], status: int) -> None:
    answer = await read(browser, order, guard)
    assert answer.status == status
    if status < 400:
        assert answer.headers["ETag"] == '"v1"'
        assert answer.body == (order if status == 200 else None)


async def test_a_tag_takes_precedence_over_a_date_in_a_read(browser: Browser, order: Any) -> None:
    future = ("If-Modified-Since", "Sun, 06 Nov 2094 08:49:37 GMT")
    assert (await read(browser, order, ("If-None-Match", '"v2"'), future)).status == 200


async def test_the_stored_response_under_a_key_comes_before_the_guard(browser: Browser, order: Any) -> None:
    guards = [("If-Match", '"v1"'), ("Idempotency-Key", "monday")]
    first = await send(browser, order, PAY, *guards)
    again = await send(browser, order, PAY, *guards)
    assert (first.status, again.status, again.body) == (202, 202, first.body)
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_a_guard_that_fails_does_not_use_up_the_key(browser: Browser, order: Any) -> None:
    missed = await send(browser, order, PAY, ("If-Match", '"v2"'), ("Idempotency-Key", "monday"))
    met = await send(browser, order, PAY, ("If-Match", '"v1"'), ("Idempotency-Key", "monday"))
    assert (missed.status, met.status, "Idempotent-Replayed" in met.headers) == (412, 202, False)


@pytest.mark.parametrize("guard", [*MISSED, *MALFORMED, ("If-Match", "*")], ids=": ".join)
async def test_a_guard_of_what_has_no_version_is_refused(shop: Shop, browser: Browser, guard: tuple[str, str]) -> None:
    await shop.sells()
    body = b'{"user_id":1,"items":[{"product_id":1,"quantity":1}]}'
    answer = await browser.send("POST", "/orders", body, more=[guard])
    assert (answer.status, answer.code) == (412, "precondition_failed")
    assert (await browser.get("/orders")).body["items"] == []


async def test_a_list_has_no_version_to_be_matched(browser: Browser, order: Any) -> None:
    for path in ("/orders", "/products", "/products/1/stock", f"/orders/{order['order_id']}/events", "/health/live"):
        assert (await browser.send("GET", path, more=[("If-Match", '"v1"')])).status == 412
        assert (await browser.send("GET", path, more=[("If-None-Match", '"v1"')])).status == 200


@pytest.mark.parametrize("change", [CANCEL, DELETE, ("GET", "", b""), ("GET", "/events", b"")])
async def test_a_key_where_it_would_do_nothing_is_refused(
    browser: Browser, order: Any, change: tuple[str, str, bytes]
) -> None:
    answer = await send(browser, order, change, ("Idempotency-Key", "monday"))
    assert (answer.status, answer.code, list(answer.errors)) == (400, "invalid_header", ["Idempotency-Key"])
    assert await is_untouched(browser, order)
