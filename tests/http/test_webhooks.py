"""Webhook endpoints over HTTP, from the first one to what it was sent."""

from collections.abc import AsyncIterator
from itertools import product
from typing import Any

import pytest
from holdfast_client import verify_webhook

from adapters.codecs.standard_webhooks import SigningKey
from tests.http.browser import Browser
from tests.unit.builders import NOW
from tests.unit.shop import Shop
from tests.unit.webhooks import BROKEN, OK, URL, Webhooks

NEW = {"url": URL, "events": ["order.*"]}
NOBODY = "01890a5d-ac96-774b-bcce-b302099a8059"


@pytest.fixture
async def webhooks(shop: Shop) -> AsyncIterator[Webhooks]:
    webhooks = Webhooks(shop)
    yield webhooks
    assert await webhooks.findings() == []


async def made(browser: Browser, **more: Any) -> str:
    answer = await browser.post("/webhook-endpoints", {**NEW, **more})
    assert answer.status == 201, answer.body
    return str(answer.body["endpoint"]["endpoint_id"])


async def test_an_endpoint_is_made_changed_and_deleted(browser: Browser, webhooks: Webhooks) -> None:
    answer = await browser.post("/webhook-endpoints", {**NEW, "headers": {"X-Token": "s3cr3t"}, "payload": "thin"})
    assert answer.status == 201
    secret, endpoint = answer.body["secret"], answer.body["endpoint"]
    assert secret.startswith("whsec_")
    assert answer.headers["Location"] == f"/webhook-endpoints/{endpoint['endpoint_id']}"
    path = f"/webhook-endpoints/{endpoint['endpoint_id']}"
    assert (endpoint["enabled"], endpoint["headers"], endpoint["behind"]) == (True, ["X-Token"], 0)
    changed = await browser.patch(path, {"events": ["*"], "rate_per_s": 5, "enabled": False})
    assert (changed.status, changed.body["events"], changed.body["rate_per_s"]) == (200, ["*"], 5)
    assert (changed.body["enabled"], changed.body["disabled_because"]) == (False, "by_hand")
    assert (await browser.patch(path, {"enabled": True})).status == 409
    rotated = await browser.post(f"{path}/rotate-secret", {"previous_valid_for": "24h"})
    assert (rotated.status, rotated.body["secret"] == secret) == (200, False)
    for wrong in ("8d", "soon", "-1s"):
        refused = await browser.post(f"{path}/rotate-secret", {"previous_valid_for": wrong})
        assert (refused.status, refused.errors.keys()) == (422, {"/previous_valid_for"})
    other = await made(browser)
    listed = await browser.get("/webhook-endpoints?limit=1")
    rest = await browser.get(f"/webhook-endpoints?limit=1&cursor={listed.body['next']}")
    assert {page.body["items"][0]["endpoint_id"] for page in (listed, rest)} == {endpoint["endpoint_id"], other}
    for told in (changed, listed, rest, await browser.get(path)):
        assert secret not in str(told.body)
        assert "s3cr3t" not in str(told.body)
    assert (await browser.delete(path)).status == 204
    assert ((await browser.get(path)).status, (await browser.delete(path)).status) == (404, 204)


async def test_an_endpoint_is_sent_what_the_public_keys_of_the_shop_verify(
    browser: Browser, webhooks: Webhooks
) -> None:
    refused = await browser.post("/webhook-endpoints", {**NEW, "signature": "v1a"})
    assert (refused.status, refused.errors.keys()) == (422, {"/signature"})
    assert "HOLDFAST_WEBHOOK_SIGNING_KEYS" in str(refused.errors)
    assert (await browser.get("/.well-known/webhook-keys")).body == {"keys": []}
    old, new = SigningKey.of(b"1" * 32), SigningKey.of(b"2" * 32)

    webhooks.shop.signing_keys.append(old)
    id_ = await made(browser, signature="v1a")
    path = f"/webhook-endpoints/{id_}"
    assert (await browser.get(path)).body["signature"] == "v1a"
    webhooks.shop.signing_keys.insert(0, new)
    listed = (await browser.get("/.well-known/webhook-keys")).body["keys"]
    assert listed == [new.public(), old.public()]
    await webhooks.orders()
    await webhooks.send()
    received = webhooks.received()
    assert received
    for request, key in product(received, listed):
        assert verify_webhook(request.body, request.headers, key, now=NOW.timestamp())

    assert (await browser.patch(path, {"signature": "v1"})).body["signature"] == "v1"
    assert (await browser.post(f"{path}/test", {})).status == 200
    assert "v1a" not in webhooks.received()[-1].headers["webhook-signature"]
    assert (await browser.patch(path, {"signature": "v1a"})).status == 200
    webhooks.shop.signing_keys.clear()
    assert (await browser.post(f"{path}/test", {})).status == 422
    assert (await browser.patch(path, {"signature": "v2"})).status == 422


async def test_what_an_endpoint_was_sent_can_be_looked_up(browser: Browser, webhooks: Webhooks) -> None:
    id_ = await made(browser)
    webhooks.answers[URL] = lambda request: BROKEN if b"order.paid" in request.body else OK
    [order] = await webhooks.orders()
    await webhooks.send()
    listed = await browser.get(f"/webhook-endpoints/{id_}/deliveries")
    assert [(each["position"], each["status"]) for each in listed.body["items"]] == [
        (4, "RETRYING"),
        (3, "DELIVERED"),
        (2, "DELIVERED"),
        (1, "DELIVERED"),
    ]
    for query, count in (
        ("status=DELIVERED", 3),
        ("type=order.paid", 1),
        (f"order_id={order.id}", 4),
        ("reason=refused_address", 0),
        ("status=RETRYING&type=order.paid", 1),
    ):
        found = await browser.get(f"/webhook-endpoints/{id_}/deliveries?{query}")
        assert len(found.body["items"]) == count, query
    first = await browser.get(f"/webhook-endpoints/{id_}/deliveries?limit=3")
    rest = await browser.get(f"/webhook-endpoints/{id_}/deliveries?limit=3&cursor={first.body['next']}")
    assert [each["position"] for each in rest.body["items"]] == [1]
    missing = await browser.get("/deliveries/undelivered")
    [delivery] = missing.body["items"]
    told = await browser.get(f"/deliveries/{delivery['delivery_id']}")
    assert told.body["delivery"] == delivery
    [attempt] = told.body["attempts"]
    assert (attempt["status"], attempt["failure"]) == (500, "status")
    del webhooks.answers[URL]
    again = await browser.post(f"/deliveries/{delivery['delivery_id']}/resend", None)
    assert (again.status, again.body["status"]) == (202, "PENDING")
    await webhooks.send()
    assert (await browser.get("/deliveries/undelivered")).body["items"] == []


async def test_an_endpoint_is_tested_enabled_and_recovered(browser: Browser, webhooks: Webhooks) -> None:
    id_ = await made(browser)
    path = f"/webhook-endpoints/{id_}"
    tested = await browser.post(f"{path}/test", None)
    assert (tested.status, tested.body["status"], tested.body["failure"]) == (200, 200, None)
    assert (await browser.post(f"{path}/enable", {"resume_from": "now"})).status == 409
    await browser.patch(path, {"enabled": False})
    assert (await browser.post(f"{path}/recover", {"since": "2026-01-01T00:00:00Z"})).status == 409
    await webhooks.orders()
    for wrong in ("yesterday", -1, None, 5, 2**63):
        refused = await browser.post(f"{path}/enable", {"resume_from": wrong})
        assert (refused.status, refused.errors.keys()) == (422, {"/resume_from"}), wrong
    enabled = await browser.post(f"{path}/enable", {"resume_from": "now"})
    assert (enabled.status, enabled.body["enabled"], enabled.body["behind"]) == (200, True, 4)
    await webhooks.send()
    missing = await browser.get("/deliveries/undelivered?reason=endpoint_disabled")
    assert len(missing.body["items"]) == 4
    wanted = {"since": "2020-01-01T00:00:00Z", "types": ["order.paid", "order.placed"]}
    started = await browser.post(f"{path}/recover", wanted, key="monday")
    assert started.status == 202
    assert (await browser.post(f"{path}/recover", wanted, key="monday")).body == started.body
    while await webhooks.shop.use_cases.run_jobs() or not webhooks.shop.use_cases.run_jobs.is_idle:
        pass
    job = await browser.get(f"/jobs/{started.body['job_id']}")
    assert job.body["result"] == {"sent_again": 2, "waiting": 0}
    await webhooks.send()
    assert len((await browser.get("/deliveries/undelivered")).body["items"]) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": URL}, "/events"),
        ({**NEW, "events": []}, "/events"),
        ({**NEW, "events": ["order.shipped"]}, "/events/0"),
        ({**NEW, "url": "http://receiver.example/"}, "/url"),
        ({**NEW, "url": "https://127.0.0.1/"}, "/url"),
        ({**NEW, "payload": "fat"}, "/payload"),
        ({**NEW, "ordering": "none"}, "/ordering"),
        ({**NEW, "headers": {"Webhook-Id": "x"}}, "/headers"),
        ({**NEW, "rate_per_s": 0}, "/rate_per_s"),
        ({**NEW, "max_concurrency": 33}, "/max_concurrency"),
        ({**NEW, "more": 1}, "/more"),
    ],
)
async def test_what_is_wrong_is_told_where(browser: Browser, shop: Shop, body: dict[str, Any], field: str) -> None:
    answer = await browser.post("/webhook-endpoints", body)
    assert (answer.status, answer.errors.keys()) == (422, {field})
    assert shop.store.webhook_endpoints == {}


async def test_an_idempotency_key_is_refused_since_no_secret_is_stored(browser: Browser, shop: Shop) -> None:
    assert (await browser.post("/webhook-endpoints", NEW, key="monday")).status == 400
    assert shop.store.webhook_endpoints == {}


@pytest.mark.parametrize("path", [f"/webhook-endpoints/{NOBODY}", f"/webhook-endpoints/{NOBODY}/deliveries"])
async def test_an_unknown_endpoint_is_404(browser: Browser, path: str) -> None:
    answer = await browser.get(path)
    assert (answer.status, answer.code) == (404, "unknown_webhook_endpoint")


async def test_an_unknown_delivery_is_404(browser: Browser) -> None:
    answer = await browser.get(f"/deliveries/{NOBODY}.1")
    assert (answer.status, answer.code) == (404, "unknown_delivery")
    for wrong in ("1", f"{NOBODY}.0", f"{NOBODY}.x", f"{NOBODY}.{2**63}", NOBODY):
        assert (await browser.get(f"/deliveries/{wrong}")).code == "not_an_id"
