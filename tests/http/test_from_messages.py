"""Clients of the message queue with a dashboard find their requests here, as its document shows them."""

from datetime import timedelta

import pytest

from tests.http.browser import Browser
from tests.http.curl import Curl
from tests.unit.shop import Shop

BASE = "/from/messages"
ADD = (
    "curl -X POST http://localhost:5000/add_message -H 'Content-Type: application/json'"
    """ -d '{"content": "$content"}'"""
)
LIST = "curl http://localhost:5000/messages"
JOB = "curl http://localhost:5000/jobs/$job"
RETRY = "curl -X POST http://localhost:5000/jobs/$job/retry"


@pytest.fixture
def curl(browser: Browser) -> Curl:
    return Curl(browser, BASE)


async def work_off(shop: Shop) -> None:
    run_jobs = shop.use_cases.run_jobs
    while await run_jobs() or not run_jobs.is_idle:
        pass


@pytest.mark.parametrize("base", ["", BASE])
async def test_a_message_is_enqueued_and_listed_once_it_is_stored(browser: Browser, shop: Shop, base: str) -> None:
    ids = []
    for content in ("Hello", "Grüße, 世界"):
        answer = await Curl(browser, base)(ADD, content=content)
        ids.append(answer.body["job_id"])
        assert (answer.status, answer.body) == (202, {"message": "Message enqueued", "job_id": ids[-1]})
        shop.clock.forward(timedelta(seconds=1))
    curl = Curl(browser, BASE)
    assert (await curl(LIST)).body == []
    await work_off(shop)
    listed = (await curl(LIST)).body
    assert all(message.keys() == {"id", "content", "timestamp"} for message in listed)
    assert [(message["id"], message["content"]) for message in listed] == [
        (ids[0], "Hello"),
        (ids[1], "Grüße, 世界"),
    ]
    assert [message["content"] for message in (await browser.get("/messages")).body["items"]][::-1] == [
        "Hello",
        "Grüße, 世界",
    ]


@pytest.mark.parametrize("base", ["", BASE])
@pytest.mark.parametrize("body", [b"{}", b'{"content": ""}', b'{"content": null}', b"", b" "])
async def test_a_message_without_content_is_refused(browser: Browser, shop: Shop, base: str, body: bytes) -> None:
    answer = await browser.send("POST", f"{base}/add_message", body)
    assert (answer.status, answer.body) == (400, {"error": "Content is required"})
    await work_off(shop)
    assert (await browser.get(f"{BASE}/messages")).body == []


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{",
        b'{"content": 7}',
        b'{"content": "a\\u0000b"}',
        b'{"content": "a", "content": "b"}',
        b'{"to": "x"}',
        b'{"content": "%s"}' % (b"x" * 50_000),
    ],
)
async def test_any_other_message_that_is_wrong_is_refused(browser: Browser, body: bytes) -> None:
    answer = await browser.send("POST", "/add_message", body)
    assert (answer.status, answer.body.keys()) == (400, {"error"})


async def test_a_job_is_looked_up_and_a_done_one_is_not_done_again(curl: Curl, shop: Shop) -> None:
    job = (await curl(ADD, content="Hello")).body["job_id"]
    waiting = await curl(JOB, job=job)
    assert (waiting.status, waiting.body["job_id"], waiting.body["status"]) == (200, job, "AVAILABLE")
    assert (await curl(RETRY, job=job)).body["status"] == "AVAILABLE"
    await work_off(shop)
    done = (await curl(JOB, job=job)).body
    assert (done["status"], done["attempts"], done["error"]) == ("COMPLETED", 1, None)
    again = await curl(RETRY, job=job)
    assert (again.status, again.body.keys()) == (409, {"error"})
    assert len((await curl(LIST)).body) == 1


async def test_a_job_that_failed_is_tried_again(curl: Curl, browser: Browser, shop: Shop) -> None:
    job = (await curl(ADD, content="Hello")).body["job_id"]
    assert (await browser.post(f"/jobs/{job}/cancel", {})).body["status"] == "CANCELLED"
    assert (await curl(RETRY, job=job)).body["status"] == "AVAILABLE"
    await work_off(shop)
    assert [message["content"] for message in (await curl(LIST)).body] == ["Hello"]


@pytest.mark.parametrize("command", [JOB, RETRY])
@pytest.mark.parametrize("job", ["01890a5d-ac96-774b-bcce-b302099a8057", "7"])
async def test_an_unknown_job_is_not_found(curl: Curl, command: str, job: str) -> None:
    answer = await curl(command, job=job)
    assert (answer.status, answer.body.keys()) == (404, {"error"})
