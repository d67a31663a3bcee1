"""What a replay would do: told as data, and nothing is done."""

import json
from typing import Any
from uuid import UUID

import pytest

from adapters.codecs.events import encode
from application.errors import Unavailable
from application.orders.record_changes import RecordChanges
from application.orders.signed_changes import signed
from domain.ids import JobId
from domain.orders.events import Event, OrderAccepted, OrderChangeAccepted
from domain.orders.order import Order
from tests.http.browser import Browser
from tests.http.test_dead_letters import set_aside
from tests.unit.builders import NOW
from tests.unit.shop import Shop


async def tried(browser: Browser, body: Any = None) -> Any:
    answer = await browser.post("/dead-letters/1/try", body or {})
    assert answer.status == 200, answer
    return answer.body


def changes(trial: Any) -> dict[tuple[str, str], tuple[Any, Any]]:
    return {(each["of"], each["name"]): (each["before"], each["after"]) for each in trial["changes"]}


async def everything(shop: Shop) -> tuple[Any, ...]:
    store = shop.store
    tables = (store.orders, store.products, store.payments, store.dead_letters, store.audit)
    return (*(repr(table) for table in tables), len(await shop.outbox()), shop.provider.ledger)


async def test_a_payment_would_be_charged_and_nobody_is_charged(shop: Shop, browser: Browser) -> None:
    pen = await shop.sells(stock=5)
    order, request = await shop.payment_requested((pen, 2))
    await set_aside(shop, request)
    before = await everything(shop)
    trial = await tried(browser)
    assert await everything(shop) == before
    assert (trial["queue"], trial["error"]) == ("payments", None)
    assert changes(trial) == {
        ("order", "status"): ("PROCESSING", "PAID"),
        ("order", "version"): (2, 4),
        ("order", "holds_stock"): (False, True),
        ("product", "stock"): (5, 3),
        ("payment", "status"): ("REQUESTED", "CHARGED"),
    }
    assert trial["events"] == ["order.stock_reserved", "order.paid"]
    [call] = trial["provider"]
    assert (call["operation"], call["amount"], call["currency"], call["known"]) == ("charge", 2500, "EUR", False)
    assert call["payment_id"] == str((await shop.now(order)).payment_id)
    # It is what the replay does then.
    await browser.post("/dead-letters/1/replay", {})
    assert await shop.process_payment([request]) == [None]
    assert (await shop.now(order)).status.value == "PAID"
    assert await shop.stock_of(pen) == 3


async def test_a_charge_that_the_provider_has_made_is_known(shop: Shop, browser: Browser) -> None:
    order, request = await shop.payment_requested((await shop.sells(), 1))
    await shop.provider.charge(request.payment_id, request.amount)
    await set_aside(shop, request)
    trial = await tried(browser)
    assert [each["known"] for each in trial["provider"]] == [True]
    assert shop.provider.taken == 1250
    assert (await shop.now(order)).status.value == "PROCESSING"
    await shop.process_payment([request])


async def test_what_was_done_already_would_change_nothing(shop: Shop, browser: Browser) -> None:
    _, request = await shop.payment_requested((await shop.sells(), 1))
    await shop.process_payment([request])
    await set_aside(shop, request)
    trial = await tried(browser)
    assert (trial["error"], trial["changes"], trial["events"], trial["provider"]) == (None, [], [], [])


async def test_a_refund_and_an_order_without_stock_are_told_as_well(shop: Shop, browser: Browser) -> None:
    paid = await shop.paid((await shop.sells(stock=1), 1))
    await set_aside(shop, await shop.refund_requested(paid), consumer="refunds")
    trial = await tried(browser)
    assert changes(trial)["order", "status"] == ("PAID", "REFUNDED")
    assert changes(trial)["product", "stock"] == (0, 1)
    assert [(each["operation"], each["known"]) for each in trial["provider"]] == [("refund", False)]

    _, request = await shop.payment_requested((await shop.sells(stock=0), 1))
    await set_aside(shop, request)
    trial = (await browser.post("/dead-letters/2/try", {})).body
    assert changes(trial)["order", "status"] == ("PROCESSING", "FAILED")
    assert changes(trial)["order", "failure_reason"] == (None, "out_of_stock")
    assert trial["provider"] == []
    await shop.process_payment([request])


def accepted(order: Order) -> OrderAccepted:
    return OrderAccepted(
        order_id=order.id, at=NOW, user_id=order.user_id, lines=order.lines, total=order.total, pay=False, details=None
    )


async def test_an_accepted_order_would_be_recorded(shop: Shop, browser: Browser) -> None:
    order = await shop.order((await shop.sells(), 1))
    shop.store.orders.clear()
    shop.store.events.clear()
    shop.store.outbox.clear()
    await set_aside(shop, accepted(order), consumer="intake")
    trial = await tried(browser)
    assert changes(trial)["order", "status"] == (None, "PENDING")
    assert trial["events"] == ["order.placed"]
    assert shop.store.orders == {}


async def test_an_accepted_change_would_become_a_job(shop: Shop, browser: Browser) -> None:
    order = await shop.order((await shop.sells(), 1))
    change = OrderChangeAccepted(
        order_id=order.id, at=NOW, job_id=JobId(UUID(int=7)), asked='{"change":"cancel"}', signature=""
    )
    promised = signed(change, shop.store.secret)
    await set_aside(shop, promised, change, consumer="intake")
    trial = await tried(browser)
    assert changes(trial) == {("job", "status"): (None, "AVAILABLE")}
    assert shop.store.jobs == {}
    forged = (await browser.post("/dead-letters/2/try", {})).body
    assert forged["error"]["type"] == "ForgedChange"
    await RecordChanges(shop.unit_of_work)([promised])
    assert (await tried(browser))["changes"] == []


async def test_what_would_be_refused_or_fail_again_is_told(shop: Shop, browser: Browser) -> None:
    order, request = await shop.payment_requested((await shop.sells(), 1))
    await set_aside(shop, b"forged")
    assert (await tried(browser))["error"]["type"] == "UnreadableMessage"
    await set_aside(shop, request)
    shop.provider.before.append(Unavailable("the ledger is away"))
    assert (await browser.post("/dead-letters/2/try", {})).code == "unavailable"
    product = shop.store.products.pop(order.lines[0].product_id)
    failed = (await browser.post("/dead-letters/2/try", {})).body
    assert failed["error"]["type"] not in {"", "UnreadableMessage"}
    assert failed["changes"] == []
    shop.store.products[product.id] = product
    await shop.process_payment([request])


def as_text(event: Event, **edited: Any) -> str:
    return json.dumps({**json.loads(encode(event)), **edited})


async def test_an_edited_copy_is_tried_and_replayed_as_the_event_that_it_is(shop: Shop, browser: Browser) -> None:
    order, request = await shop.payment_requested((await shop.sells(), 1))
    other, _ = await shop.payment_requested((await shop.sells(), 1))
    shop.store.outbox.clear()
    broken = encode(request).decode().replace("{", "{{", 1)
    await set_aside(shop, broken.encode())
    assert (await tried(browser))["error"]["type"] == "UnreadableMessage"
    mended = encode(request).decode()
    assert changes(await tried(browser, {"message": mended}))["order", "status"] == ("PROCESSING", "PAID")
    for forged in (as_text(request, sequence=7), as_text(request, order_id=str(other.id))):
        refused = await tried(browser, {"message": forged})
        assert refused["error"]["type"] == "ForeignMessage"
        assert (await browser.post("/dead-letters/1/replay", {"message": forged})).code == "foreign_message"
    assert (await browser.post("/dead-letters/1/try", {"message": "{}"})).wrong == ["/message"]
    assert await shop.outbox() == []

    done = await browser.post("/dead-letters/1/replay", {"message": mended, "reason": "a brace too many"})
    assert (done.status, done.body["decision"]) == (200, "REPLAYED")
    [entry] = (await browser.get("/audit?subject=dead%20letter%201")).body["items"]
    assert entry["after"] == {"decision": "REPLAYED", "edited": f"order.payment_requested of order {order.id}"}
    [sent] = await shop.outbox()
    assert sent.body == encode(request)


@pytest.mark.parametrize("letter", ["readable", "unreadable"])
async def test_an_accepted_order_is_replayed_as_it_came_alone(shop: Shop, browser: Browser, letter: str) -> None:
    order = await shop.order((await shop.sells(), 1))
    asked = accepted(order)
    shop.store.outbox.clear()
    body = encode(asked)
    await set_aside(shop, body if letter == "readable" else b"{" + body, consumer="intake")
    changed = {
        "user_id": 777,
        "pay": True,
        "lines": [{**line, "quantity": 9} for line in json.loads(body)["lines"]],
        "at": "2020-01-01T00:00:00.000000Z",
    }
    copies = [as_text(asked, **{name: value}) for name, value in changed.items()]
    for copy in copies if letter == "readable" else [*copies, body.decode()]:
        assert (await tried(browser, {"message": copy}))["error"]["type"] == "ForeignMessage"
        assert (await browser.post("/dead-letters/1/replay", {"message": copy})).code == "foreign_message"
    assert await shop.outbox() == []
    if letter == "readable":
        assert (await browser.post("/dead-letters/1/replay", {"message": body.decode()})).status == 200


@pytest.mark.parametrize("about", ["another order", "another type"])
async def test_an_edited_copy_stays_about_its_order(shop: Shop, browser: Browser, about: str) -> None:
    pen = await shop.sells()
    order, other = await shop.order((pen, 1)), await shop.order((pen, 1))
    await set_aside(shop, accepted(order), consumer="intake")
    instead = accepted(other) if about == "another order" else (await shop.history(order))[0]
    answer = await browser.post("/dead-letters/1/replay", {"message": encode(instead).decode()})
    assert answer.code == "foreign_message"
