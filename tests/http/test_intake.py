"""The responses that a client gets while orders are queued."""

import asyncio
import json

import pytest
from uuid_utils.compat import uuid7

from application.errors import Unavailable
from domain.orders.status import OrderStatus
from tests.http.browser import Browser, app_over
from tests.unit.intakes import Intakes
from tests.unit.shop import Shop
from tests.unit.unsteady import Trouble

ORDER = {"user_id": 1, "items": [{"product_id": 1, "quantity": 2}]}
GONE = Unavailable("the database is gone")


@pytest.fixture
async def intakes(shop: Shop) -> Intakes:
    intakes = Intakes(shop)
    await shop.sells()
    await intakes.learn_prices()
    return intakes


@pytest.fixture
def browser(intakes: Intakes) -> Browser:
    return Browser(app_over(intakes.auto))


async def test_an_order_that_is_queued_is_accepted_and_found_at_its_address(intakes: Intakes, browser: Browser) -> None:
    intakes.shop.unsteady.to_come.append(Trouble(GONE))
    accepted = await browser.post("/orders", ORDER)
    address = accepted.headers["Location"]
    assert (accepted.status, address) == (202, f"/orders/{accepted.body['order_id']}")
    found = await browser.get(address)
    assert (found.status, found.body) == (200, accepted.body)
    await intakes.work_off()
    assert (await browser.get(address)).body == accepted.body
    assert [order["order_id"] for order in (await browser.get("/orders")).body["items"]] == [accepted.body["order_id"]]


async def test_a_queued_order_is_read_like_one_in_the_database(intakes: Intakes, browser: Browser) -> None:
    intakes.shop.unsteady.to_come.append(Trouble(GONE))
    accepted = await browser.post("/orders", ORDER)
    created = await browser.post("/orders", ORDER)
    assert (accepted.status, created.status) == (202, 201)
    assert {**accepted.body, "order_id": created.body["order_id"]} == created.body


async def test_a_repeated_request_gets_the_same_response_before_and_after_recording(
    intakes: Intakes, browser: Browser
) -> None:
    intakes.shop.unsteady.to_come.append(Trouble(GONE))
    first = await browser.post("/orders", ORDER, key="monday")
    intakes.shop.unsteady.to_come.append(Trouble(GONE))
    queued = await browser.post("/orders", ORDER, key="monday")
    other = evolve_quantity(3)
    intakes.shop.unsteady.to_come.append(Trouble(GONE))
    reused = await browser.post("/orders", other, key="monday")
    await intakes.work_off()
    recorded = await browser.post("/orders", ORDER, key="monday")
    assert [answer.status for answer in (first, queued, recorded)] == [202, 202, 201]
    assert first.body == queued.body == recorded.body
    assert "Idempotent-Replayed" not in first.headers
    assert queued.headers["Idempotent-Replayed"] == recorded.headers["Idempotent-Replayed"] == "true"
    assert (reused.status, reused.code) == (422, "idempotency_key_reused")


def evolve_quantity(quantity: int) -> object:
    order = json.loads(json.dumps(ORDER))
    order["items"][0]["quantity"] = quantity
    return order


CHANGES = [
    ("POST", "/pay", b""),
    ("PATCH", "/status", b'{"status": "CANCELLED"}'),
    ("PATCH", "/status", b'{"status": "COMPLETED"}'),
    ("PATCH", "/status", b'{"status": "REFUNDED"}'),
    ("PATCH", "", b'{"note": "ring twice", "shipping_address": {"city": "Turin"}}'),
    ("DELETE", "", b""),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_a_change_of_an_order_that_is_not_recorded_is_taken_and_made_later(
    intakes: Intakes, browser: Browser, method: str, path: str, body: bytes
) -> None:
    intakes.shop.unsteady.to_come.append(Trouble(GONE))
    placed = await browser.post("/orders", ORDER)
    address = placed.headers["Location"]
    taken = await browser.send(method, address + path, body)
    assert taken.status == 202
    assert taken.body == {**placed.body, "job_id": taken.body["job_id"]}
    assert taken.headers["Location"] == f"/jobs/{taken.body['job_id']}"
    job = (await browser.get(taken.headers["Location"])).body
    assert (job["kind"], job["status"], job["order_id"]) == ("change_order", "AVAILABLE", placed.body["order_id"])
    await intakes.work_off()
    while not await intakes.auto.run_jobs():
        pass
    job = (await browser.get(taken.headers["Location"])).body
    # An order that is not paid for can't be completed or refunded.
    is_refused = b"COMPLETED" in body or b"REFUNDED" in body
    assert job["status"] == ("DISCARDED" if is_refused else "COMPLETED")
    wanted = json.loads(body)["status"] if is_refused else ""
    assert job["error"] == (f"illegal_transition: PENDING cannot become {wanted}" if is_refused else None)


async def read_before(intakes: Intakes, browser: Browser) -> str:
    """The address of an order that is recorded, and in the caches."""
    address = (await browser.post("/orders", ORDER)).headers["Location"]
    await intakes.work_off()
    assert (await browser.get(address)).status == 200
    return address


@pytest.mark.parametrize("intake", ["queued", "auto"])
@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
async def test_without_the_database_a_change_is_taken_and_made_when_it_is_back(
    intakes: Intakes, intake: str, method: str, path: str, body: bytes
) -> None:
    """Of an order that waits for its record, and of one that was recorded before."""
    browser = Browser(app_over(getattr(intakes, intake)))
    recorded = await read_before(intakes, browser)
    intakes.shop.unsteady.gone = True
    waiting = (await browser.post("/orders", ORDER)).headers["Location"]
    jobs = []
    for address in (recorded, waiting):
        taken = await browser.send(method, address + path, body)
        assert (taken.status, taken.body["order_id"]) == (202, address.removeprefix("/orders/"))
        # Somebody may have changed the order, and the database knows it alone.
        assert "ETag" not in taken.headers
        jobs.append(taken.headers["Location"])
        job = (await browser.get(jobs[-1])).body
        assert (job["job_id"], job["kind"], job["status"]) == (taken.body["job_id"], "change_order", "AVAILABLE")

    intakes.shop.unsteady.gone = False
    assert (await browser.get(jobs[0])).body["status"] == "AVAILABLE"
    assert set(await intakes.work_off()) == {None}
    while await intakes.auto.run_jobs() or not intakes.auto.run_jobs.is_idle:
        pass
    # An order that is not paid for can't be completed or refunded.
    refused = b"COMPLETED" in body or b"REFUNDED" in body
    for job_address in jobs:
        assert (await browser.get(job_address)).body["status"] == ("DISCARDED" if refused else "COMPLETED")


async def test_without_the_database_a_change_with_a_condition_is_refused_and_not_made(
    intakes: Intakes, browser: Browser
) -> None:
    address = await read_before(intakes, browser)
    intakes.shop.unsteady.gone = True
    for method, path, body in CHANGES:
        refused = await browser.send(method, address + path, body, more=[("If-Match", '"1"')])
        assert (refused.status, refused.code) == (503, "unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
    intakes.shop.unsteady.gone = False
    assert intakes.queue.events == []


@pytest.mark.parametrize("intake", ["queued", "auto"])
async def test_without_the_database_a_change_of_an_earlier_system_is_taken(intakes: Intakes, intake: str) -> None:
    browser = Browser(app_over(getattr(intakes, intake)))
    first, second, third = [await read_before(intakes, browser) for _ in range(3)]
    intakes.shop.unsteady.gone = True
    answers = [
        await browser.patch(f"/from/flask-orders{first}/status", {"status": "cancelled"}),
        await browser.patch(f"/from/flask-orders{first}/status", {"status": "packed"}),
        await browser.delete(f"/from/flask-orders{second}"),
        await browser.post(f"/from/shop{third}/pay", {}),
    ]
    assert [answer.status for answer in answers] == [202] * len(answers)
    intakes.shop.unsteady.gone = False
    assert set(await intakes.work_off()) == {None}
    while await intakes.auto.run_jobs() or not intakes.auto.run_jobs.is_idle:
        pass
    orders = {f"/orders/{order.id}": order for order in intakes.shop.store.orders.values()}
    assert orders[first].status is OrderStatus.CANCELLED
    assert orders[second].deleted
    assert orders[third].status is OrderStatus.PROCESSING


async def test_an_order_shows_the_changes_that_wait_until_they_are_made(intakes: Intakes, browser: Browser) -> None:
    intakes.shop.unsteady.to_come.append(Trouble(GONE))
    address = (await browser.post("/orders", ORDER)).headers["Location"]
    noted = await browser.patch(address, {"note": "ring"})
    paying = await browser.post(f"{address}/pay", {})
    shown = (await browser.get(f"{address}?expand=changes")).body
    assert [(each["job_id"], each["change"], each["status"], each["error"]) for each in shown["changes"]] == [
        (noted.body["job_id"], "change_details", "AVAILABLE", None),
        (paying.body["job_id"], "pay", "AVAILABLE", None),
    ]
    assert (shown["status"], shown["note"]) == ("PENDING", None)
    # The other parts are read in the database, which does not have the order yet.
    assert (await browser.get(f"{address}?expand=changes,events")).code == "not_yet_recorded"
    await intakes.work_off()
    async with asyncio.timeout(60):
        while (shown := (await browser.get(f"{address}?expand=changes,events")).body)["changes"]:
            await intakes.auto.run_jobs()
    assert (shown["status"], shown["note"], len(shown["events"])) == ("PROCESSING", "ring", 3)


async def test_the_changes_of_an_unknown_order_are_none_of_anybodys(browser: Browser) -> None:
    assert (await browser.get(f"/orders/{uuid7()}?expand=changes")).code == "unknown_order"


@pytest.mark.parametrize(("method", "path", "body"), [*CHANGES, ("GET", "/events", b"")])
async def test_what_must_wait_for_its_record_is_worth_another_try(
    intakes: Intakes, browser: Browser, method: str, path: str, body: bytes
) -> None:
    intakes.shop.unsteady.to_come.append(Trouble(GONE))
    address = (await browser.post("/orders", ORDER)).headers["Location"]
    # A change that is made only to one version does not wait.
    guard = () if method == "GET" else (("If-Match", '"v1"'),)
    answer = await browser.send(method, address + path, body, more=guard)
    assert (answer.status, answer.code) == (503, "not_yet_recorded")
    assert int(answer.headers["Retry-After"]) >= 1
    await intakes.work_off()
    assert (await browser.send(method, address + path, body, more=guard)).status in {200, 202, 204, 409}


async def test_a_payment_that_had_to_wait_is_made_under_the_same_key(intakes: Intakes, browser: Browser) -> None:
    intakes.shop.unsteady.to_come.append(Trouble(GONE))
    address = (await browser.post("/orders", ORDER)).headers["Location"]
    waiting, again = [await browser.post(f"{address}/pay", {}, key="tuesday") for _ in range(2)]
    assert (waiting.status, again.status) == (202, 202)
    assert waiting.body == again.body
    assert "Idempotent-Replayed" not in waiting.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    await intakes.work_off()
    while not await intakes.auto.run_jobs():
        pass
    paying = await browser.post(f"{address}/pay", {}, key="tuesday")
    assert (paying.status, paying.body["status"]) == (202, "PROCESSING")
    assert len(intakes.shop.store.payments) == 1


async def test_with_database_and_broker_gone_nothing_is_accepted(intakes: Intakes, browser: Browser) -> None:
    intakes.queue.gone = intakes.shop.unsteady.gone = True
    answer = await browser.post("/orders", ORDER)
    assert (answer.status, answer.code) == (503, "outcome_unknown")
    assert int(answer.headers["Retry-After"]) >= 1


async def test_a_product_that_only_the_database_knows_of_is_not_called_unknown(
    intakes: Intakes, browser: Browser
) -> None:
    intakes.shop.unsteady.to_come.append(Trouble(GONE))
    answer = await browser.post("/orders", {"user_id": 1, "items": [{"product_id": 99, "quantity": 1}]})
    assert (answer.status, answer.code) == (503, "unavailable")
    assert "Retry-After" in answer.headers


async def test_an_order_that_is_queued_is_a_job_until_and_after_it_is_recorded(
    intakes: Intakes, browser: Browser
) -> None:
    intakes.shop.unsteady.gone = True
    accepted = await browser.post("/orders", ORDER)
    assert accepted.status == 202
    address = f"/jobs/{accepted.body['order_id']}"
    seen = (await browser.get(address)).body
    assert (seen["kind"], seen["status"], seen["finished_at"]) == ("place_order", "AVAILABLE", None)
    assert (await browser.get("/jobs/01890a5d-ac96-774b-bcce-b302099a8057")).status == 503

    intakes.shop.unsteady.gone = False
    seen = (await browser.get(address)).body
    assert seen["status"] == "AVAILABLE"
    await intakes.work_off()
    seen = (await browser.get(address)).body
    assert (seen["status"], seen["order_id"]) == ("COMPLETED", accepted.body["order_id"])
