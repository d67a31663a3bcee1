"""Dead letters over HTTP: in groups, one by one, and what a person decides about them."""

import asyncio

import pytest

from adapters.codecs.events import encode
from adapters.memory.broker import MemorySubscription
from application.access.principal import Principal
from application.access.scopes import ROLES, Role, Scope
from application.messaging.consumer import Consumer
from application.messaging.subscriptions import PAYMENTS
from domain.dead_letter import DeadMessage
from domain.orders.events import Event
from tests.http.browser import Answer, Browser, app_over
from tests.unit.builders import NOW
from tests.unit.shop import Shop

BROKEN = "KeyError in application.payments.process_payment.ProcessPayment.record: 'surprise'"


async def set_aside(shop: Shop, *dead: Event | bytes, reason: str = BROKEN, consumer: str = "payments") -> None:
    messages = [
        DeadMessage(
            body=each if isinstance(each, bytes) else encode(each), reason=reason, attempts=8, first_at=NOW, last_at=NOW
        )
        for each in dead
    ]
    async with shop.unit_of_work() as tx:
        await tx.dead_letters.record(consumer, messages)


async def requests(shop: Shop, count: int) -> list[Event]:
    pen = await shop.sells(stock=count)
    return [(await shop.payment_requested((pen, 1)))[1] for _ in range(count)]


async def groups(browser: Browser) -> list[tuple[str, str, int, int]]:
    found = (await browser.get("/dead-letters/groups")).body
    return [(each["queue"], each["error"], each["count"], each["failed_again"]) for each in found["groups"]]


async def test_letters_of_one_cause_are_one_group_which_is_listed_by_itself(shop: Shop, browser: Browser) -> None:
    await set_aside(shop, *await requests(shop, 3))
    await set_aside(shop, b"forged", reason="BadMessage: no JSON", consumer="refunds")
    assert await groups(browser) == [("payments", "KeyError", 3, 0), ("refunds", "BadMessage", 1, 0)]
    [group, other] = (await browser.get("/dead-letters/groups")).body["groups"]
    assert group["place"] == "application.payments.process_payment.ProcessPayment.record"
    path = f"/dead-letters?queue={group['queue']}&error={group['error']}&place={group['place']}"
    first = (await browser.get(f"{path}&limit=2")).body
    second = (await browser.get(f"{path}&limit=2&cursor={first['next']}")).body
    assert [each["id"] for page in (first, second) for each in page["items"]] == [1, 2, 3]
    assert second["next"] is None
    assert [each["id"] for each in (await browser.get(f"/dead-letters?place={other['place']}")).body["items"]] == [4]
    assert len((await browser.get("/dead-letters")).body["items"]) == 4
    # A cursor belongs to its filter.
    assert (await browser.get(f"/dead-letters?cursor={first['next']}")).status in {400, 422}
    for bad in ("queue=nothing", "error=", "error=%00", "place=a%0ab", "decided=maybe", f"error={'x' * 101}"):
        assert (await browser.get(f"/dead-letters?{bad}")).status == 422, bad


async def test_one_letter_is_shown_with_its_message(shop: Shop, browser: Browser) -> None:
    await set_aside(shop, b"\xff{}")
    letter = (await browser.get("/dead-letters/1")).body
    assert (letter["message"], letter["bytes"], letter["attempts"], letter["order_id"]) == ("\\xff{}", 3, 8, None)
    assert letter["reason"] == BROKEN
    assert (await browser.get("/dead-letters/2")).code == "unknown_dead_letter"
    assert (await browser.get("/dead-letters/01")).status == 404


async def test_a_replayed_letter_is_processed_and_one_that_fails_again_says_so(shop: Shop, browser: Browser) -> None:
    [request] = await requests(shop, 1)
    shop.store.outbox.clear()
    await set_aside(shop, request)
    answer = await browser.post("/dead-letters/1/replay", {"reason": "the ledger is mended"})
    assert (answer.status, answer.body["decision"], answer.body["decided_by"]) == (200, "REPLAYED", "anybody")
    again = await browser.post("/dead-letters/1/replay", {})
    assert again.code == "illegal_transition"
    assert await groups(browser) == []

    async def break_down(_: object) -> list[Exception]:
        return [KeyError("surprise")]

    # As the relay sends it, and a worker fails again.
    queue = shop.ports.subscription(PAYMENTS)
    assert isinstance(queue, MemorySubscription)
    [replayed] = await shop.outbox()
    queue.bring(replayed.body)
    async with asyncio.timeout(60):
        await Consumer(PAYMENTS, queue, break_down, max_failures=1).step()
        recording = shop.use_cases.record_dead_letters[1]
        await recording.record(await recording.receive())
    assert await groups(browser) == [("payments", "KeyError", 1, 1)]


async def test_who_decided_and_why_is_in_the_audit(shop: Shop, browser: Browser) -> None:
    await set_aside(shop, b"forged")
    for bad in ({}, {"reason": ""}, {"reason": "x" * 201}, {"reason": "a", "more": 1}):
        assert (await browser.post("/dead-letters/1/discard", bad)).status == 422, bad
    assert (await browser.post("/dead-letters/1/replay", {})).code == "unreadable_message"
    done = await browser.post("/dead-letters/1/discard", {"reason": "a test of the till"})
    assert (done.status, done.body["decision"]) == (200, "DISCARDED")
    [entry] = (await browser.get("/audit?subject=dead letter 1".replace(" ", "%20"))).body["items"]
    assert (entry["key_id"], entry["reason"]) == ("anybody", "a test of the till")
    assert entry["before"] == {"decision": None, "error": BROKEN}
    assert entry["after"] == {"decision": "DISCARDED"}


async def ask(shop: Shop, scopes: frozenset[Scope], path: str, body: object = None) -> Answer:
    async def let_in(_: object) -> Principal:
        return Principal("somebody", scopes=scopes)

    browser = Browser(app_over(shop.use_cases, authenticate=let_in))
    return await (browser.get(path) if body is None else browser.post(path, body))


@pytest.mark.parametrize("role", [Role.SHOP, Role.OPERATOR])
async def test_some_roles_replay_and_discard_nothing(shop: Shop, role: Role) -> None:
    await set_aside(shop, *await requests(shop, 2))
    assert (await ask(shop, ROLES[role], "/dead-letters/1")).status == 200
    assert (await ask(shop, ROLES[role], "/dead-letters/1/discard", {"reason": "x"})).status == 403
    assert (await ask(shop, ROLES[role], "/dead-letters/1/replay", {})).status == 200
    assert (await ask(shop, ROLES[Role.READ], "/dead-letters/2")).status == 403
