"""Example orders over HTTP."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from application.jobs.kinds import Progress
from domain.ids import JobId
from domain.jobs.job import Job
from domain.orders.status import OrderStatus
from entrypoints.http.authentication import Bearer
from tests.http.browser import Answer, Browser, app_over
from tests.unit.shop import Shop


async def work(shop: Shop) -> None:
    async with asyncio.timeout(30):
        while await shop.use_cases.run_jobs() or not shop.use_cases.run_jobs.is_idle:
            pass


async def seeded(shop: Shop, browser: Browser, count: int) -> Any:
    accepted = await browser.post("/admin/seed", {"count": count})
    assert accepted.status == 202
    await work(shop)
    return (await browser.get(accepted.headers["Location"])).body


async def test_example_orders_are_placed_as_customers_place_them(shop: Shop, browser: Browser) -> None:
    await shop.sells(stock=1000)
    await shop.sells(stock=1000, price=99)
    await shop.sells(stock=1000, currency="JPY")
    job = await seeded(shop, browser, 120)
    assert job["status"] == "COMPLETED"
    assert job["result"] == {"placed": 120, "refused": 0}
    assert job["progress"] == {"done": 120, "total": 120}
    orders = shop.store.orders.values()
    assert len(orders) == 120
    ages = [shop.clock() - order.created_at for order in orders]
    assert timedelta(0) <= min(ages) < timedelta(days=9)
    assert timedelta(days=81) < max(ages) <= timedelta(days=90)
    assert {order.status for order in orders} == {OrderStatus.PENDING, OrderStatus.PROCESSING}
    assert len({order.user_id for order in orders}) > 20


async def test_a_job_that_is_run_again_places_nothing_again(shop: Shop, browser: Browser) -> None:
    await shop.sells(stock=1000)
    job_id = (await seeded(shop, browser, 7))["job_id"]
    [job] = [job for job in shop.store.jobs.values() if str(job.id) == job_id]
    before = dict(shop.store.orders)
    again = Job(
        id=JobId(job.id),
        kind=job.kind,
        arguments=job.arguments,
        available_at=job.created_at,
        created_at=job.created_at,
    )
    handler = shop.use_cases.run_jobs.handlers[job.kind]
    assert await handler(again, Progress()) == {"placed": 7, "refused": 0}
    assert shop.store.orders == before


async def test_without_products_the_job_says_what_is_missing(shop: Shop, browser: Browser) -> None:
    job = await seeded(shop, browser, 1)
    assert job["status"] == "DISCARDED"
    assert "add some first" in job["error"]


@pytest.mark.parametrize("count", [0, -1, 100_001, "7", None])
async def test_a_count_that_can_not_be_is_refused(browser: Browser, count: Any) -> None:
    assert (await browser.post("/admin/seed", {"count": count})).code == "invalid_request"


async def test_the_same_request_under_the_same_key_is_one_job(browser: Browser) -> None:
    first = await browser.post("/admin/seed", {"count": 3}, key="a")
    assert (await browser.post("/admin/seed", {"count": 3}, key="a")).body == first.body
    assert (await browser.post("/admin/seed", {"count": 4}, key="a")).code == "idempotency_key_reused"
    [entry] = (await browser.get(f"/audit?subject=job%20{first.body['job_id']}")).body["items"]
    assert (entry["action"], entry["key_id"], entry["after"]) == ("seed.started", "anybody", {"count": 3})


EMPTY = {"confirm": "holdfast"}


@pytest.fixture
async def emptiable() -> Shop:
    return Shop(allow_reset=True)


async def test_a_shop_that_may_not_be_emptied_stays_as_it_is(shop: Shop, browser: Browser) -> None:
    order = await shop.order((await shop.sells(), 1))
    answer = await browser.post("/admin/reset", EMPTY)
    assert (answer.status, answer.code) == (403, "reset_not_allowed")
    assert await shop.now(order) == order


@pytest.mark.parametrize("confirm", ["", "another", "HOLDFAST"])
async def test_whoever_means_another_shop_empties_none(emptiable: Shop, confirm: str) -> None:
    order = await emptiable.order((await emptiable.sells(), 1))
    answer = await Browser(app_over(emptiable.use_cases)).post("/admin/reset", {"confirm": confirm})
    assert (answer.status, answer.code, answer.wrong) == (422, "reset_not_confirmed", ["/confirm"])
    assert await emptiable.now(order) == order


async def test_an_emptied_shop_sells_on(emptiable: Shop) -> None:
    browser = Browser(app_over(emptiable.use_cases))
    pen = await emptiable.sells(stock=5)
    paid = await emptiable.paid((pen, 2))
    await emptiable.use_cases.give_positions()
    assert (await browser.get(f"/orders/{paid.id}")).status == 200
    export = (await browser.post("/exports", {"what": "orders"})).body["job_id"]
    await work(emptiable)

    done = await browser.post("/admin/reset", EMPTY)

    assert (done.status, done.body) == (200, {"orders": 1})
    assert (await browser.get(f"/orders/{paid.id}")).code == "unknown_order"
    assert (await browser.get("/orders")).body["items"] == []
    assert (await browser.get(f"/exports/{export}")).code == "unknown_export"
    assert (await browser.get("/events?after=0")).code == "position_not_kept"
    assert (await browser.get(f"/products/{pen.id}")).body["stock"] == 5
    order = await browser.order(pen.id, 5)
    await emptiable.use_cases.give_positions()
    [event] = (await browser.get("/events?after=4")).body["items"]
    assert (event["position"], event["order_id"]) == (5, order["order_id"])
    [entry] = (await browser.get("/audit?subject=shop")).body["items"]
    assert (entry["action"], entry["before"]) == ("shop.reset", {"orders": 1})


def behind_password(shop: Shop, password: str) -> Browser:
    bearer = Bearer(shop.use_cases.authenticate, required=True, admin_password=password)
    return Browser(app_over(shop.use_cases, authenticate=bearer))


async def by_password(browser: Browser, path: str, password: str, body: bytes = b'{"confirm": "holdfast"}') -> Answer:
    return await browser.send("POST", path, body, more=[("X-Admin-Password", password)])


async def test_the_admin_password_seeds_and_empties_and_does_nothing_else(emptiable: Shop) -> None:
    await emptiable.sells()
    browser = behind_password(emptiable, "swordfish")
    assert (await by_password(browser, "/admin/seed", "swordfish", b'{"count": 1}')).status == 202
    assert (await by_password(browser, "/v1/admin/reset", "swordfish")).status == 200
    assert (await by_password(browser, "/messages", "swordfish", b'{"content": "hello"}')).code == "unauthenticated"
    assert (await browser.send("GET", "/orders", more=[("X-Admin-Password", "swordfish")])).code == "unauthenticated"


@pytest.mark.parametrize(("known", "sent"), [("swordfish", "swordfis"), ("swordfish", ""), ("", ""), ("", "x")])
async def test_a_wrong_password_does_nothing(emptiable: Shop, known: str, sent: str) -> None:
    order = await emptiable.order((await emptiable.sells(), 1))
    answer = await by_password(behind_password(emptiable, known), "/admin/reset", sent)
    assert (answer.status, answer.code) == (401, "unauthenticated")
    assert await emptiable.now(order) == order


async def test_whoever_guesses_the_password_is_sent_away(emptiable: Shop) -> None:
    browser = behind_password(emptiable, "swordfish")
    for _ in range(100):
        if (answer := await by_password(browser, "/admin/reset", "guess")).status == 429:
            break
    assert answer.code == "too_many_requests"
    # Even the right one, since an answer would tell.
    assert (await by_password(browser, "/admin/reset", "swordfish")).status == 429
