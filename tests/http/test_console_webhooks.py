"""Receivers of webhooks as the console registers and edits them, without a browser."""

import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest

from adapters.codecs.standard_webhooks import SigningKey
from application.access.principal import SYSTEM
from domain.webhooks.delivery import DeliveryId
from domain.webhooks.endpoint import Endpoint, Ordering, Payload, Signature
from entrypoints.http.console.formats import moment
from tests.http.test_console import Visitor, app_for, text_of
from tests.unit.shop import Shop
from tests.unit.webhooks import BROKEN, URL, Webhooks

WHOLE = {
    "url": "https://warehouse.example/hooks",
    "description": "the warehouse",
    "events": "order.paid\norder.cancelled, order.refunded",
    "payload": "thin",
    "ordering": "best_effort",
    "signature": "v1",
    "rate_per_s": "50",
    "max_concurrency": "8",
    "headers": "Authorization: open:sesame\nX-Shop:  one \n\n",
}


@pytest.fixture
async def ana(shop: Shop) -> Visitor:
    visitor = Visitor(app_for(shop))
    await visitor.sign_in("admin")
    return visitor


def only(shop: Shop) -> Endpoint:
    [endpoint] = shop.store.webhook_endpoints.values()
    return endpoint


async def register(ana: Visitor, **other: str) -> str:
    response = await ana.send("POST", "/console/webhooks", urlencode(WHOLE | other))
    assert response.status_code == 200
    return str(await response.get_data(as_text=True))


async def test_a_receiver_is_registered_with_every_field_and_its_secret_shown_once(shop: Shop, ana: Visitor) -> None:
    html = await register(ana)
    endpoint = only(shop)
    assert (endpoint.url, endpoint.description) == (WHOLE["url"], "the warehouse")
    assert endpoint.events == ("order.paid", "order.cancelled", "order.refunded")
    assert (endpoint.payload, endpoint.ordering) == (Payload.THIN, Ordering.BEST_EFFORT)
    assert (endpoint.signature, endpoint.rate_per_s, endpoint.max_concurrency) == (Signature.V1, 50, 8)
    assert endpoint.headers == {"Authorization": "open:sesame", "X-Shop": "one"}
    [secret] = endpoint.secrets
    assert secret.text in html
    for path in ("", f"/{endpoint.id}", f"/{endpoint.id}/edit"):
        shown = await text_of(ana, f"/console/webhooks{path}")
        assert secret.text not in shown
        assert "sesame" not in shown


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("url", "http://10.0.0.1/", "https"),
        ("url", "", "Url"),
        ("events", "", "Events"),
        ("events", "order.lost", "order.lost"),
        ("payload", "much", "Payload"),
        ("rate_per_s", "0", "Rate per s"),
        ("rate_per_s", "many", "whole number"),
        ("max_concurrency", "", "whole number"),
        ("max_concurrency", "100000", "Max concurrency"),
        ("headers", "no colon", "a name, a colon and a value"),
        ("headers", "A: 1\nA: 2", "no name comes twice"),
        ("headers", "Host: elsewhere", "eaders"),
        ("signature", "v1a", "no key to sign with"),
        ("description", "x" * 2000, "Description"),
    ],
)
async def test_what_is_wrong_is_told_beside_what_was_sent(
    shop: Shop, ana: Visitor, field: str, value: str, told: str
) -> None:
    response = await ana.send("POST", "/console/webhooks", urlencode(WHOLE | {field: value}))
    html = await response.get_data(as_text=True)
    assert response.status_code == 422
    assert told in html
    # Nothing that was typed is lost.
    assert 'value="https://warehouse.example/hooks"' in html or field == "url"
    assert shop.store.webhook_endpoints == {}

    await register(ana)
    before = only(shop)
    path = f"/console/webhooks/{before.id}/edit"
    assert (await ana.send("POST", path, urlencode(WHOLE | {field: value}))).status_code == 422
    assert only(shop) == before


async def test_a_receiver_is_edited_and_its_headers_stay_until_they_are_written(shop: Shop, ana: Visitor) -> None:
    await register(ana)
    endpoint = only(shop)
    path = f"/console/webhooks/{endpoint.id}/edit"
    html = await text_of(ana, path)
    assert 'value="https://warehouse.example/hooks"' in html
    assert "<code>Authorization</code>" in html
    changed = WHOLE | {"url": "https://new.example/", "events": "*", "headers": "", "rate_per_s": ""}
    response = await ana.send("POST", path, urlencode(changed))
    assert (response.status_code, response.headers["Location"]) == (
        303,
        f"/console/webhooks/{endpoint.id}?done=webhook-changed",
    )
    after = only(shop)
    assert (after.url, after.events, after.rate_per_s) == ("https://new.example/", ("*",), None)
    assert after.headers == endpoint.headers
    await ana.send("POST", path, urlencode(changed | {"headers": "X-New: 1"}))
    assert only(shop).headers == {"X-New": "1"}
    await ana.send("POST", path, urlencode(changed | {"without_headers": "on"}))
    assert only(shop).headers == {}
    assert only(shop).secrets == endpoint.secrets
    actions = [entry.action for entry in await shop.use_cases.list_audit(SYSTEM, limit=9)]
    assert actions == ["webhook_endpoint.changed"] * 3 + ["webhook_endpoint.created"]


async def test_a_receiver_that_is_signed_to_by_the_key_of_the_shop_is_shown_no_secret(shop: Shop, ana: Visitor) -> None:
    shop.signing_keys.append(SigningKey.of(b"1" * 32))
    response = await ana.send("POST", "/console/webhooks", urlencode(WHOLE | {"signature": "v1a"}))
    page = f"/console/webhooks/{only(shop).id}"
    assert (response.status_code, response.headers["Location"]) == (303, f"{page}?done=webhook-registered")
    assert only(shop).signature is Signature.V1A
    shown = await text_of(ana, page)
    assert "signed v1a" in shown
    assert "Rotate secret" not in shown
    assert '<option value="v1a" selected>' in await text_of(ana, f"{page}/edit")
    # Without a key, nothing is sent to it, and that is said.
    kept = shop.signing_keys.pop()
    for path in (page, "/console/webhooks"):
        assert '<span class="badge bad">no key</span>' in await text_of(ana, path)
    shop.signing_keys.append(kept)
    assert "no key" not in await text_of(ana, page)

    await ana.send("POST", f"{page}/edit", urlencode(WHOLE))
    assert only(shop).signature is Signature.V1
    shown = await text_of(ana, page)
    assert "signed v1," in shown
    assert "Rotate secret" in shown


async def resting(shop: Shop) -> Webhooks:
    """A receiver that failed ten times, and has not got to most of the orders."""
    webhooks = Webhooks(shop)
    await webhooks.add(events=("order.*",))
    webhooks.answers[URL] = lambda _: BROKEN
    await webhooks.orders(30)
    await webhooks.send()
    return webhooks


async def test_a_test_that_arrives_and_a_recovery_say_what_becomes_of_what_waits(shop: Shop, ana: Visitor) -> None:
    webhooks = await resting(shop)
    path = f"/console/webhooks/{only(shop).id}"
    assert ">resting<" in await text_of(ana, path)
    failed = await (await ana.send("POST", f"{path}/test", "")).get_data(as_text=True)
    assert ">resting<" in failed
    assert "tried at once" not in failed.partition("The test failed")[2]
    del webhooks.answers[URL]
    arrived = await (await ana.send("POST", f"{path}/test", "")).get_data(as_text=True)
    assert "The next event is tried at once." in arrived
    assert ">resting<" not in arrived

    response = await ana.send("POST", f"{path}/recover", "hours=24")
    while await shop.use_cases.run_jobs() or not shop.use_cases.run_jobs.is_idle:
        pass
    sent = len(webhooks.received()) - 2
    assert f"{sent} to send again: {120 - sent} more wait in their turn." in await text_of(
        ana, response.headers["Location"]
    )
    await webhooks.send()
    assert {each.status for each in await webhooks.deliveries(only(shop).id)} == {"DELIVERED"}


async def test_an_order_tells_which_receivers_have_not_got_to_it_yet(shop: Shop, ana: Visitor) -> None:
    webhooks = await resting(shop)
    order = list(shop.store.orders.values())[-1]
    path, nobody = f"/console/orders/{order.id}", "No receiver wants its events."
    behind = shop.store.feed_given - webhooks.progress(only(shop).id).position
    assert behind > 4
    html = await text_of(ana, path)
    assert ">not sent yet<" in html
    assert URL in html
    assert f"is {behind} events behind" in html
    assert nobody not in html

    del webhooks.answers[URL]
    await shop.use_cases.test_endpoint(SYSTEM, only(shop).id)
    await webhooks.pass_time(timedelta(seconds=6), step=timedelta(seconds=1))
    html = await text_of(ana, path)
    assert ">DELIVERED<" in html
    assert ">not sent yet<" not in html
    assert nobody not in html

    # Whoever was registered later is sent none of it, and whoever wants other events never will be.
    await shop.use_cases.delete_endpoint(SYSTEM, only(shop).id)
    shop.store.webhook_deliveries.clear()
    assert nobody in await text_of(ana, path)
    await webhooks.add(events=("order.refunded",))
    assert nobody in await text_of(ana, path)
    await webhooks.add(events=("order.paid",))
    html = await text_of(ana, path)
    assert "No delivery of its events is listed" in html
    assert nobody not in html
    assert ">not sent yet<" not in html


async def test_an_order_names_the_slowest_receivers_and_counts_the_others(shop: Shop, ana: Visitor) -> None:
    webhooks = Webhooks(shop)
    for number in range(12):
        await webhooks.add(f"https://receiver.example/{number}")
    [order] = await webhooks.orders()
    html = await text_of(ana, f"/console/orders/{order.id}")
    assert html.count(">not sent yet<") == 10
    assert "2 more receivers have not got to it yet." in html


async def test_a_delivery_that_is_held_is_attempted_after_the_one_before_it(shop: Shop, ana: Visitor) -> None:
    webhooks = Webhooks(shop)
    id_ = await webhooks.add()
    webhooks.answers[URL] = lambda _: BROKEN
    await webhooks.orders()
    await webhooks.send()
    first, second, *_ = await webhooks.deliveries(id_)
    held = "<dt>Next attempt</dt><dd>after the one before it</dd>"
    assert held in await text_of(ana, f"/console/webhooks/deliveries/{second.id}")
    html = await text_of(ana, f"/console/webhooks/deliveries/{first.id}")
    assert "<dt>Next attempt</dt>" in html
    assert held not in html


async def test_a_receiver_that_fails_is_told_of_from_its_first_rest_on(shop: Shop, ana: Visitor) -> None:
    calm = await text_of(ana, "/console/now")
    assert "no receiver is behind" in calm
    assert "receiver</a>" not in calm
    webhooks = await resting(shop)
    since = moment(webhooks.progress(only(shop).id).failing_since)
    now = await text_of(ana, "/console/now")
    assert f"1 receiver</a> fails since {since} (500);" in now
    assert 'badge wait">webhooks' in now
    for path in ("/console/webhooks", f"/console/webhooks/{only(shop).id}"):
        assert f"failing since {since} (500)" in await text_of(ana, path)

    # Until something has arrived, its rest is over and its trouble is not.
    await shop.use_cases.resend_delivery(SYSTEM, DeliveryId(only(shop).id, 1))
    assert f"fails since {since} (500);" in await text_of(ana, "/console/now")
    assert f"in a row, since {since} (500)" in await text_of(ana, "/console/webhooks")
    del webhooks.answers[URL]
    await webhooks.send()
    assert "fails since" not in await text_of(ana, "/console/now")


async def test_which_receiver_misses_which_events_is_told_also_of_one_that_is_well(shop: Shop, ana: Visitor) -> None:
    """It was disabled for a while, and went on with what was new: nothing of it fails, and it misses events."""
    webhooks = Webhooks(shop)
    well, misses = await webhooks.add("https://well.example/"), await webhooks.add("https://misses.example/")
    await shop.use_cases.change_endpoint(SYSTEM, misses, {"enabled": False})
    [order] = await webhooks.orders()
    await shop.use_cases.enable_endpoint(SYSTEM, misses, resume_from="now")
    await webhooks.orders()
    await webhooks.send()
    lists = await text_of(ana, "/console/webhooks")
    assert f'<a id="missed-{misses}" href="/console/webhooks/{misses}?undelivered=yes">4</a>' in lists
    assert f'id="missed-{well}"' not in lists
    assert lists.count('<span class="badge good">well</span>') == 2
    page = await text_of(ana, f"/console/webhooks/{misses}?undelivered=yes")
    assert page.count("<tr data-row>") == 4
    assert page.count("endpoint disabled</td>") == 4
    assert page.count(f'href="/console/orders/{order.id}"') == 4
    assert (await text_of(ana, f"/console/webhooks/{misses}")).count("<tr data-row>") == 8
    # The page of the order says who has which.
    of_order = await text_of(ana, f"/console/orders/{order.id}")
    assert of_order.count("</a> to https://well.example/ <span") == 4
    assert of_order.count("</a> to https://misses.example/ <span") == 4
    assert "It has every event that it has got to." in await text_of(ana, f"/console/webhooks/{well}?undelivered=yes")


async def test_a_page_of_what_is_not_delivered_is_followed_by_the_next_one(shop: Shop, ana: Visitor) -> None:
    webhooks = Webhooks(shop)
    endpoint = await webhooks.add()
    webhooks.answers[URL] = lambda _: BROKEN
    await webhooks.orders(30)
    await webhooks.send()
    await shop.use_cases.change_endpoint(SYSTEM, endpoint, {"enabled": False})
    await shop.use_cases.enable_endpoint(SYSTEM, endpoint, resume_from="now")
    webhooks.answers.clear()
    await webhooks.pass_time(timedelta(minutes=3))
    assert '?undelivered=yes">100+</a>' in await text_of(ana, "/console/webhooks")
    page = await text_of(ana, f"/console/webhooks/{endpoint}?undelivered=yes")
    [following] = re.findall(r'rel="next" href="([^"]+)"', page)
    assert "undelivered=yes" in following
    assert (await text_of(ana, following.replace("&amp;", "&"))).count("<tr data-row>") == 50


async def test_events_that_were_too_old_for_the_feed_when_their_turn_came_are_told_of(shop: Shop, ana: Visitor) -> None:
    webhooks = Webhooks(shop)
    late, well = await webhooks.add("https://late.example/"), await webhooks.add("https://well.example/")
    await shop.use_cases.change_endpoint(SYSTEM, late, {"enabled": False})
    await webhooks.orders(2)
    await webhooks.send()
    shop.clock.forward(timedelta(hours=1))
    async with shop.unit_of_work() as tx:
        removed = await tx.feed.prune(older_than=timedelta(minutes=1), limit=3)
    await shop.use_cases.enable_endpoint(SYSTEM, late, resume_from="where_it_stopped")
    await webhooks.send()
    assert removed == 3
    assert (await text_of(ana, "/console/webhooks")).count("and 3 lost") == 1
    assert "and 3 lost" in await text_of(ana, f"/console/webhooks/{late}")
    assert "lost" not in await text_of(ana, f"/console/webhooks/{well}")


async def test_a_receiver_is_deleted_and_what_it_is_called_is_gone(shop: Shop, ana: Visitor) -> None:
    await register(ana)
    endpoint = only(shop)
    response = await ana.send("POST", f"/console/webhooks/{endpoint.id}/delete")
    assert (response.status_code, response.headers["Location"]) == (303, "/console/webhooks?done=webhook-deleted")
    assert only(shop).deleted_at is not None
    assert "There is no receiver." in await text_of(ana, response.headers["Location"])
    # As after a lost answer.
    assert (await ana.send("POST", f"/console/webhooks/{endpoint.id}/delete")).status_code == 303
