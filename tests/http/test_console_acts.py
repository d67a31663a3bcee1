"""What is done in the console, without a browser: each act once, and not with what has changed since it was shown."""

import re
from functools import reduce

import pytest

from application.access.principal import SYSTEM
from domain.dead_letter import DeadMessage
from domain.orders.status import OrderStatus
from entrypoints.http.routes.route import Route
from tests.http.test_console import ADDRESSES, NOWHERE, ORIGIN, Visitor, app_for, digest_in, routes_of, text_of
from tests.http.test_jobs import work
from tests.unit.builders import NOW
from tests.unit.shop import Shop
from tests.unit.webhooks import Webhooks


@pytest.fixture
async def ana(shop: Shop) -> Visitor:
    visitor = Visitor(app_for(shop))
    await visitor.sign_in("admin")
    return visitor


@pytest.mark.parametrize("act", ["pay", "cancel", "complete", "refund", "again"])
async def test_an_act_holds_for_the_version_that_was_shown(shop: Shop, ana: Visitor, act: str) -> None:
    pen = await shop.sells()
    order = await shop.paid((pen, 1)) if act in {"complete", "refund"} else await shop.order((pen, 1))
    if act == "again":
        order = await shop.use_cases.request_payment(SYSTEM, order.id)
    order = await shop.now(order)
    path = f"/console/orders/{order.id}"
    assert f'action="{path}/{act}"' in await text_of(ana, path)

    for stale in (order.version - 1, order.version + 1):
        response = await ana.send("POST", f"{path}/{act}", f"version={stale}", Referer=f"{ORIGIN}{path}?done=order-pay")
        assert response.status_code == 412
        page = await response.get_data(as_text=True)
        assert "<h1>It has changed since the page showed it</h1>" in page
        assert f"Nothing was done: order {order.id} is at version {order.version}: read it, and decide again" in page
        # The page from which it was asked for shows how it stands now.
        assert f'<a class="button primary" href="{path}">' in page
    for version in ("", "version=", "version=x", "version=%D9%A3"):
        assert (await ana.send("POST", f"{path}/{act}", version)).status_code == 422
    assert await shop.now(order) == order

    response = await ana.send("POST", f"{path}/{act}", f"version={order.version}")
    assert (response.status_code, response.headers["Location"]) == (303, f"{path}?done=order-{act}")
    after = await shop.now(order)
    reached = {
        "pay": OrderStatus.PROCESSING,
        "cancel": OrderStatus.CANCELLED,
        "complete": OrderStatus.COMPLETED,
        "again": OrderStatus.PROCESSING,
    }
    assert after.refund_requested if act == "refund" else after.status is reached[act]
    assert 'class="notice good"' in await text_of(ana, response.headers["Location"])


async def test_who_may_only_read_is_offered_no_act(shop: Shop) -> None:
    reader = Visitor(app_for(shop))
    await reader.sign_in("read")
    order = await shop.order((await shop.sells(), 1))
    html = await text_of(reader, f"/console/orders/{order.id}")
    assert f'action="/console/orders/{order.id}' not in html
    # Nor a link to a screen that is not for this key.
    assert "/console/stock" not in html
    assert "/console/audit" not in html


async def test_a_stock_is_adjusted_with_a_reason_alone(shop: Shop, ana: Visitor) -> None:
    pen = await shop.sells(stock=5)
    path = f"/console/stock/{pen.id}"
    version = (await shop.use_cases.see_stock(SYSTEM, pen.id)).product.version
    for form, status in (
        (f"version={version}&delta=1&reason=", 422),
        (f"version={version}&delta=many&reason=found", 422),
        (f"version={version}&delta=0&reason=found", 422),
        (f"version={version}&delta=-6&reason=lost", 409),
        (f"version={version + 1}&delta=1&reason=found", 412),
    ):
        assert (await ana.send("POST", f"{path}/adjust", form)).status_code == status, form
    assert await shop.stock_of(pen) == 5
    assert (await ana.send("POST", f"{path}/adjust", f"version={version}&delta=-2&reason=lost")).status_code == 303
    assert await shop.stock_of(pen) == 3
    # The same form once more was shown with another stock.
    assert (await ana.send("POST", f"{path}/adjust", f"version={version}&delta=-2&reason=lost")).status_code == 412
    assert await shop.stock_of(pen) == 3


async def test_what_does_not_exist_is_told_in_a_page(ana: Visitor) -> None:
    for path in ("orders", "jobs", "webhooks"):
        response = await ana.get(f"/console/{path}/{NOWHERE}")
        assert response.status_code == 404
        assert response.headers["Content-Type"].startswith("text/html")
    assert (await ana.get("/console/orders/7")).status_code in {404, 422}
    assert (await ana.get("/console/audit?colour=red")).status_code == 422
    assert (await ana.get("/console/audit?cursor=forged")).status_code in {400, 422}


async def test_a_form_of_another_kind_changes_nothing(shop: Shop, ana: Visitor) -> None:
    order = await shop.order((await shop.sells(), 1))
    response = await ana.send(
        "POST", f"/console/orders/{order.id}/cancel", '{"version": 1}', Content_Type="application/json"
    )
    assert response.status_code == 415
    assert await shop.now(order) == order


HOSTILE = {
    "nothing": "",
    "signs": "--5",
    "word": "x",
    "far below": "-99999999999999",
    "far above": "9" * 19,
    "digits": "9" * 5000,
    "nul": "%00",
    "surrogate": "%ED%A0%80",
    "outside": "%F0%9F%92%A9",
    "long": "%E2%82%AC" * 3000,
    "bracket": "http://[",
    "json": "[" * 5000,
}
NUMBERS = {"count", "days", "delta", "hours", "user_id", "version"}
RIGHT = {
    "act": "discard", "back": "/console", "count": "1", "days": "1", "delta": "1", "error": "BadMessage",
    "format": "csv", "hours": "1", "key": "admin", "message": "{}", "name": "till", "networks": "10.0.0.0/8",
    "next": "/console", "once": "k", "place": "", "q": "", "queue": "payments", "reason": "why", "resume_from": "now",
    "role": "shop", "theme": "dark", "user_id": "", "version": "1",
}  # fmt: skip


async def acts_of(shop: Shop) -> dict[str, Route]:
    """The acts of the console, by their addresses, about things that are there."""
    pen, endpoint = await shop.sells(), await Webhooks(shop).add()
    order = await shop.order((pen, 1))
    message = DeadMessage(body=b"garbage", reason="BadMessage: x", attempts=1, first_at=NOW, last_at=NOW)
    async with shop.unit_of_work() as tx:
        await tx.dead_letters.record("payments", [message])
    there = ADDRESSES | {
        "<order_id>": str(order.id), "<product_id>": str(pen.id), "<endpoint_id>": str(endpoint), "<letter_id>": "1"
    }  # fmt: skip
    found = (await routes_of(app_for(shop))).values()
    return {
        reduce(lambda path, named: path.replace(*named), there.items(), route.path): route
        for route in found
        if route.method == "POST"
    }


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
async def test_no_text_in_a_form_is_a_fault_of_the_shop(shop: Shop, ana: Visitor, text: str) -> None:
    for path in await acts_of(shop):
        for fields in (NUMBERS, RIGHT.keys() - NUMBERS):
            form = "&".join(f"{name}={text if name in fields else right}" for name, right in RIGHT.items())
            response = await ana.send("POST", path, form)
            assert response.status_code < 500, (path, fields)


async def test_a_reason_that_no_database_stores_is_refused(shop: Shop, ana: Visitor) -> None:
    await acts_of(shop)
    for text in ("%00", "a%00b", "%1B[31m", "%C2%85"):
        response = await ana.send("POST", "/console/dead-letters/1/discard", f"reason={text}")
        assert response.status_code == 422, text
        bulk = f"act=discard&queue=payments&error=BadMessage&place=&count=1&reason={text}"
        assert (await ana.send("POST", "/console/bulk-operations", bulk)).status_code == 422, text
    assert shop.store.jobs == {}
    assert shop.store.dead_letters[1].decision is None


@pytest.mark.parametrize("origin", ["http://[", "[", "http://shop.example]", "://", "http://\u00e9"])
async def test_an_origin_that_is_none_is_refused(shop: Shop, ana: Visitor, origin: str) -> None:
    for path in await acts_of(shop):
        assert (await ana.send("POST", path, origin=origin)).status_code == 403, path


async def test_a_form_of_too_many_fields_is_refused(shop: Shop, ana: Visitor) -> None:
    [path] = [path for path in await acts_of(shop) if path.endswith("/adjust")]
    assert (await ana.send("POST", path, "a=1&" * 301)).status_code == 422


async def set_aside(shop: Shop, *bodies: bytes, reason: str = "KeyError in a.b: 'x'") -> None:
    messages = [DeadMessage(body=body, reason=reason, attempts=8, first_at=NOW, last_at=NOW) for body in bodies]
    async with shop.unit_of_work() as tx:
        await tx.dead_letters.record("payments", messages)


GROUP = "queue=payments&error=KeyError&place=a.b"


@pytest.mark.parametrize("count", ["", "x", "2", "4"])
async def test_a_wrong_count_does_nothing_and_keeps_the_reason(shop: Shop, ana: Visitor, count: str) -> None:
    await set_aside(shop, b"1", b"2", b"3")
    form = f"act=discard&{GROUP}&count={count}&reason=an+%3Cattack%3E"
    response = await ana.send("POST", "/console/bulk-operations", form)
    page = await response.get_data(as_text=True)
    assert response.status_code == 409
    assert "there are 3 of them now" in page
    assert '<dialog id="discard-all" aria-labelledby="discard-all-title" data-open>' in page
    assert 'id="discard-reason" name="reason" maxlength="200" required value="an &lt;attack&gt;"' in page
    assert page.count("data-open") == 1
    assert shop.store.jobs == {}
    # What stands in the form now is right.
    right = form.replace(f"count={count}", f"count=3&digest={digest_in(page)}")
    assert (await ana.send("POST", "/console/bulk-operations", right)).status_code == 303


async def test_a_wrong_count_of_orders_does_nothing_and_keeps_the_reason(shop: Shop, ana: Visitor) -> None:
    order = await shop.order((await shop.sells(), 1))
    for chosen in (f"id={order.id}&q=", "q=customer:1"):
        form = f"act=cancel&{chosen}&count=7&reason=a+wrong+price"
        response = await ana.send("POST", "/console/bulk-operations", form)
        page = await response.get_data(as_text=True)
        assert (response.status_code, "there are 1 of them now" in page) == (409, True)
        assert 'value="a wrong price"' in page
        assert "Cancel 1 order?" in page
    assert shop.store.jobs == {}


async def test_who_comes_second_is_told_that_nothing_was_done(shop: Shop, ana: Visitor) -> None:
    """Two persons look at the same things. The first has decided, or cancelled, all before the second one acts."""
    await set_aside(shop, b"1", b"2")
    group = await text_of(ana, f"/console/dead-letters/group?{GROUP}")
    order = await shop.order((await shop.sells(), 1))
    many = await text_of(ana, "/console/orders/many?q=status:PENDING&act=cancel")
    assert (await ana.send("POST", "/console/dead-letters/1/discard", "reason=forged")).status_code == 303
    assert (await ana.send("POST", "/console/dead-letters/2/discard", "reason=forged")).status_code == 303
    await shop.use_cases.cancel_order(SYSTEM, order.id)

    there = f"{ORIGIN}/console/dead-letters/1"
    for act in ("replay", "discard"):
        response = await ana.send("POST", f"/console/dead-letters/1/{act}", "reason=noise", Referer=there)
        assert response.status_code == 409
        page = await response.get_data(as_text=True)
        assert "Nothing was done: dead letter 1 was DISCARDED by " in page
        assert '<a class="button primary" href="/console/dead-letters/1">' in page
    for act, found in (("discard", group), ("replay", group), ("cancel", many)):
        what = "q=status:PENDING&count=1" if act == "cancel" else f"{GROUP}&count=2"
        form = f"act={act}&{what}&digest={digest_in(found)}&reason=noise"
        response = await ana.send("POST", "/console/bulk-operations", form)
        assert response.status_code == 409
        assert "Nothing is done:" in await response.get_data(as_text=True)
    assert shop.store.jobs == {}


async def test_the_page_of_a_group_tells_of_what_is_running_on_it(shop: Shop, ana: Visitor) -> None:
    await set_aside(shop, b"1", b"2")
    await set_aside(shop, b"3", reason="ValueError in a.b: 'x'")
    shown = await text_of(ana, f"/console/dead-letters/group?{GROUP}")
    form = f"act=replay&{GROUP}&count=2&digest={digest_in(shown)}&reason="
    response = await ana.send("POST", "/console/bulk-operations", form)
    progress = response.headers["Location"].partition("?")[0]
    told = f'A replay of 2 messages is running: 0 have an outcome. <a id="running-{progress[-36:]}" href="{progress}">'
    here, everywhere = f"/console/dead-letters/group?{GROUP}", "/console/dead-letters"
    assert "It has begun." in await text_of(ana, response.headers["Location"])
    assert told in await text_of(ana, here)
    assert told in await text_of(ana, everywhere)
    assert told in await text_of(ana, "/console/dead-letters/group?queue=payments")
    assert "is running" not in await text_of(ana, here.replace("KeyError", "ValueError"))
    assert (await ana.send("POST", f"{progress}/stop")).status_code == 303
    assert "is running" not in await text_of(ana, here)


async def test_the_few_that_failed_are_found_among_hundreds_that_are_done(shop: Shop, ana: Visitor) -> None:
    """A page shows the first 200 results. Which ones have failed is asked at night, and without a terminal."""
    pen = await shop.sells(stock=1000)
    others = [await shop.paid((pen, 1)) for _ in range(2)]
    for _ in range(205):
        await shop.order((pen, 1))
    others.append(await shop.paid((pen, 1)))
    found = await text_of(ana, "/console/orders/many?q=customer:1&act=cancel")
    form = f"act=cancel&q=customer:1&count=208&digest={digest_in(found)}&reason=a+wrong+price"
    place = (await ana.send("POST", "/console/bulk-operations", form)).headers["Location"].partition("?")[0]
    await work(shop)
    page = await text_of(ana, place)
    assert page.count("<tr data-row>") == 200
    assert f'href="{place}?outcome=done">205</a>' in page
    [failed] = re.findall(r'href="([^"]+outcome=failed)">3</a>', page)
    assert "outcome=skipped" not in page
    page = await text_of(ana, failed)
    assert set(re.findall(r'id="item-([\w-]+)"', page)) == {str(order.id) for order in others}
    assert (await text_of(ana, f"{place}?outcome=done")).count("<tr data-row>") == 200
    assert (await text_of(ana, f"{place}?outcome=open")).count("<tr data-row>") == 0
    assert (await ana.get(f"{place}?outcome=lost")).status_code == 422
    # In the list, none of them is missing: the outcomes together are the items.
    row = dict(re.findall(r'data-label="(\w+)">(\d+)</td>', await text_of(ana, "/console/bulk-operations")))
    assert row == {"Items": "208", "Done": "205", "Failed": "3", "Skipped": "0", "Open": "0"}


def key_in(page: str, form: str) -> str:
    """The key that a page gives to one of its forms, named by what stands before it there."""
    [key] = re.findall(r'name="once" value="([\w-]{20,})"', page.split(form)[1].split("</form>", maxsplit=1)[0])
    return str(key)


async def test_a_form_that_starts_a_job_starts_one_however_often_it_is_sent(shop: Shop, ana: Visitor) -> None:
    await set_aside(shop, b"1", b"2")
    await shop.order((await shop.sells(), 1))
    endpoint = await Webhooks(shop).add()
    group, orders = f"/console/dead-letters/group?{GROUP}", "/console/orders?q=customer:1"
    many, receiver = "/console/orders/many?q=customer:1&act=cancel", f"/console/webhooks/{endpoint}"
    for path, form, action, fields, other in (
        (group, 'id="replay-all"', "/console/bulk-operations", f"act=replay&{GROUP}&count=2&reason=", "why"),
        (group, 'id="discard-all"', "/console/bulk-operations", f"act=discard&{GROUP}&count=2&reason=a", "b"),
        (many, 'class="card"', "/console/bulk-operations", "act=cancel&q=customer:1&count=1&reason=a", "b"),
        (orders, 'id="export"', "/console/orders/export", "format=csv&q=", "customer:1"),
        (receiver, 'id="recover"', f"{receiver}/recover", "hours=2", "4"),
    ):
        page = await text_of(ana, path)
        key = key_in(page, form)
        before = set(shop.store.jobs)
        # An export and a recovery are about nothing that was counted.
        counted = f"digest={digest_in(page)}" if "digest" in page else ""
        first, again, changed = [
            (await ana.send("POST", action, f"once={key}&{counted}&{fields}{more}")).headers["Location"]
            for more in ("", "", other)
        ]
        [job] = shop.store.jobs.keys() - before
        assert {each.partition("?")[0].rpartition("/")[2] for each in (first, again, changed)} == {str(job)}
        assert again == first
        if form != 'id="recover"':
            assert "Nothing more was started." in await text_of(ana, changed)
        # The page that is shown next may start another one.
        assert key_in(await text_of(ana, path), form) != key
