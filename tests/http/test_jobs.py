"""Messages and jobs over HTTP."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from application.access.principal import Principal
from application.access.scopes import CUSTOMER_SCOPES
from domain.errors import UnknownOrder
from domain.ids import JobId, OrderId, UserId
from domain.jobs.job import UnknownJob
from tests.http.browser import Answer, Browser
from tests.unit.shop import Shop


async def work(shop: Shop) -> None:
    async with asyncio.timeout(30):
        while await shop.use_cases.run_jobs() or not shop.use_cases.run_jobs.is_idle:
            pass


async def say(browser: Browser, content: Any, path: str = "/messages", *, key: str | None = None) -> Answer:
    return await browser.post(path, {"content": content}, key=key)


async def test_a_message_is_accepted_as_a_job_and_then_stored(shop: Shop, browser: Browser) -> None:
    accepted = await say(browser, "Hello")
    assert accepted.status == 202
    job_id = accepted.body["job_id"]
    assert accepted.headers["Location"] == f"/jobs/{job_id}"
    waiting = await browser.get(f"/jobs/{job_id}")
    assert (waiting.status, waiting.body["status"], waiting.body["kind"]) == (200, "AVAILABLE", "message")
    assert (await browser.get("/messages")).body == {"items": [], "next": None}

    await work(shop)

    done = (await browser.get(f"/jobs/{job_id}")).body
    assert (done["status"], done["attempts"], done["error"]) == ("COMPLETED", 1, None)
    assert done["finished_at"] is not None
    [message] = (await browser.get("/messages")).body["items"]
    assert (message["message_id"], message["content"], message["order_id"]) == (job_id, "Hello", None)


async def test_a_message_about_an_order_is_listed_with_it(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    order_id = (await browser.order())["order_id"]
    assert (await say(browser, "where is it?", f"/orders/{order_id}/messages")).status == 202
    await say(browser, "in general")
    await work(shop)
    [message] = (await browser.get(f"/orders/{order_id}/messages")).body["items"]
    assert (message["content"], message["order_id"]) == ("where is it?", order_id)
    assert len((await browser.get("/messages")).body["items"]) == 2


async def test_there_are_no_messages_about_an_order_that_does_not_exist(browser: Browser) -> None:
    path = f"/orders/{uuid7()}/messages"
    assert (await say(browser, "hello", path)).code == "unknown_order"
    assert (await browser.get(path)).code == "unknown_order"


@pytest.mark.parametrize("content", ["", "x" * 10_001, None, 7, "a\0b"])
async def test_content_that_can_not_be_stored_is_refused(browser: Browser, content: Any) -> None:
    answer = await say(browser, content)
    assert answer.status in {400, 422}
    assert answer.code in {"invalid_request", "invalid_message"}
    assert (await browser.get("/jobs")).body["items"] == []


async def test_the_same_request_under_the_same_key_is_one_message(shop: Shop, browser: Browser) -> None:
    first = await say(browser, "once", key="a")
    again = await say(browser, "once", key="a")
    assert again.body == first.body
    assert (await say(browser, "twice", key="a")).code == "idempotency_key_reused"
    assert (await say(browser, "once", key="b")).body != first.body
    await work(shop)
    assert (await say(browser, "once", key="a")).body == first.body
    assert len((await browser.get("/messages")).body["items"]) == 2


async def test_pages_follow_each_other_and_a_cursor_belongs_to_its_list(shop: Shop, browser: Browser) -> None:
    for number in range(5):
        await say(browser, f"{number}")
    await work(shop)
    for path, of in (
        ("/messages", "message_id"),
        ("/jobs", "job_id"),
        ("/jobs?kind=message&status=COMPLETED", "job_id"),
    ):
        whole = [item[of] for item in (await browser.get(path)).body["items"]]
        joint = "&" if "?" in path else "?"
        page = (await browser.get(f"{path}{joint}limit=2")).body
        walked = [item[of] for item in page["items"]]
        first = page["next"]
        while page["next"]:
            page = (await browser.get(f"{path}{joint}limit=2&cursor={page['next']}")).body
            walked += [item[of] for item in page["items"]]
        assert walked == whole
        assert len(whole) == 5
        other = "/messages" if path.startswith("/jobs") else "/jobs"
        assert (await browser.get(f"{other}?cursor={first}")).code == "invalid_cursor"


async def test_a_filter_that_names_no_status_or_kind_is_refused(browser: Browser) -> None:
    assert (await browser.get("/jobs?status=PAID")).code == "invalid_request"
    assert (await browser.get("/jobs?kind=A-B")).code == "invalid_request"


async def test_a_job_is_cancelled_and_tried_again(shop: Shop, browser: Browser) -> None:
    job_id = (await say(browser, "maybe")).body["job_id"]
    for _ in range(2):
        cancelled = await browser.send("POST", f"/jobs/{job_id}/cancel")
        assert (cancelled.status, cancelled.body["status"]) == (200, "CANCELLED")
    await work(shop)
    assert (await browser.get("/messages")).body["items"] == []
    retried = await browser.send("POST", f"/jobs/{job_id}/retry")
    assert (retried.status, retried.body["status"]) == (200, "AVAILABLE")
    await work(shop)
    assert len((await browser.get("/messages")).body["items"]) == 1
    for verb in ("cancel", "retry"):
        refused = await browser.send("POST", f"/jobs/{job_id}/{verb}")
        assert (refused.status, refused.code) == (409, "illegal_transition")


async def test_a_job_that_does_not_exist_is_unknown(browser: Browser) -> None:
    assert (await browser.get(f"/jobs/{uuid7()}")).code == "unknown_job"
    assert (await browser.send("POST", f"/jobs/{uuid7()}/retry")).code == "unknown_job"
    assert (await browser.get("/jobs/7")).status == 404


async def test_an_order_is_a_job_under_its_own_id(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    order_id = (await browser.order())["order_id"]
    job = (await browser.get(f"/jobs/{order_id}")).body
    assert (job["kind"], job["status"], job["order_id"]) == ("place_order", "COMPLETED", order_id)
    # It is no row, and nothing to cancel.
    assert (await browser.get("/jobs")).body["items"] == []
    assert (await browser.send("POST", f"/jobs/{order_id}/cancel")).code == "unknown_job"


async def test_a_customer_reaches_its_own_orders_alone(shop: Shop, browser: Browser) -> None:
    await shop.sells()
    order_id = OrderId(UUID((await browser.order())["order_id"]))
    job_id = JobId(UUID((await say(browser, "secret", f"/orders/{order_id}/messages")).body["job_id"]))
    general = JobId(UUID((await say(browser, "to the shop")).body["job_id"]))
    await work(shop)
    use_cases = shop.use_cases
    owner = Principal("her", user_id=UserId(1), scopes=CUSTOMER_SCOPES)
    stranger = Principal("him", user_id=UserId(2), scopes=CUSTOMER_SCOPES)
    page: dict[str, Any] = {"before": None, "limit": 10}

    assert (await use_cases.get_job(owner, job_id)).id == job_id
    assert (await use_cases.get_job(owner, JobId(order_id))).order_id == order_id
    assert len(await use_cases.list_messages(owner, order_id=order_id, **page)) == 1
    assert (await use_cases.post_message(owner, "mine", order_id=order_id)).job.order_id == order_id

    for by, id_ in ((stranger, job_id), (stranger, JobId(order_id)), (stranger, general), (owner, general)):
        with pytest.raises(UnknownJob):
            await use_cases.get_job(by, id_)
    with pytest.raises(UnknownOrder):
        await use_cases.list_messages(stranger, order_id=order_id, **page)
    with pytest.raises(UnknownOrder):
        await use_cases.post_message(stranger, "not mine", order_id=order_id)
