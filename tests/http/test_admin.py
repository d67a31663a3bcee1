"""Example orders over HTTP."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from application.jobs.kinds import Progress
from domain.ids import JobId
from domain.jobs.job import Job
from domain.orders.status import OrderStatus
from tests.http.browser import Browser
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
