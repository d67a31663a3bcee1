"""A shop with 300 dead letters of three kinds: which failed, what would a replay do, and what is done about them."""

import asyncio
import re
from time import monotonic, sleep
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from adapters.codecs.events import encode
from adapters.sql.core.engine import create_engine
from adapters.sql.unit_of_work import SqlUnitOfWork
from domain.dead_letter import DeadMessage
from domain.ids import OrderId
from domain.orders.events import PaymentRequested
from tests.brokers import payment_requested
from tests.console.conftest import Console, expect_accessible
from tests.servers.process import SLOWEST
from tests.unit.builders import LATER, NOW

BROKEN = "KeyError in application.payments.process_payment.ProcessPayment.record: 'surprise'"
# 300 together. Orders take longer to make than messages that nobody can read.
PAID, OTHERS = 20, 140


@pytest.fixture(scope="module")
def _three_kinds(console: Console) -> None:
    """Payments of orders that are PAID by now, messages of no order, and what is no message."""
    product = console.service.add_product(stock=PAID)
    orders = [OrderId(UUID(_placed(console, product)["order_id"])) for _ in range(PAID)]
    deadline = monotonic() + 60 * SLOWEST
    with console.client() as api:
        while api.get("/orders?status=PAID&count=capped").json()["count"] < PAID:
            assert monotonic() < deadline
            sleep(0.1)
    asyncio.run(_set_aside(console, orders))


def _placed(console: Console, product: int) -> dict[str, str]:
    with console.client() as api:
        body = {"user_id": 1, "items": [{"product_id": product, "quantity": 1}], "pay": True}
        answer = api.post("/orders", json=body)
        answer.raise_for_status()
        found: dict[str, str] = answer.json()
        return found


async def _set_aside(console: Console, orders: list[OrderId]) -> None:

    engine = create_engine(console.service.database)
    try:
        unit_of_work = SqlUnitOfWork(engine)
        async with unit_of_work.reading() as tx:
            events = await tx.events.of_orders(set(orders))
        payments = [event for event in events if isinstance(event, PaymentRequested)]
        assert len(payments) == PAID
        kinds = {
            BROKEN: [encode(event) for event in payments],
            "UnknownOrder: there is no such order": [encode(payment_requested()) for _ in range(OTHERS)],
            "NotJson: it is malformed": [b"forged %d" % number for number in range(OTHERS)],
        }
        async with unit_of_work() as tx:
            for reason, bodies in kinds.items():
                dead = [
                    DeadMessage(body=body, reason=reason, attempts=8, first_at=NOW, last_at=LATER) for body in bodies
                ]
                await tx.dead_letters.record("payments", dead)
    finally:
        await engine.dispose()


@pytest.mark.usefixtures("_three_kinds")
def test_300_dead_letters_are_looked_at_replayed_and_discarded(page: Page) -> None:
    page.goto("/console/dead-letters")
    expect(page.locator("[data-row]")).to_have_count(3)
    expect_accessible(page)
    # Which failed: the first group, and its first message.
    page.get_by_role("link", name="KeyError").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("KeyError")
    expect_accessible(page)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    # What a replay would do: its order is PAID by now.
    expect(page.get_by_role("heading", name="What a replay would do")).to_be_visible()
    expect(page.get_by_text("Nothing: it was done before.")).to_be_visible()
    expect_accessible(page)
    letter = page.url
    page.go_back()
    find_by_its_order(page, letter)
    # Replay all of them, safely.
    page.keyboard.press("r")
    expect(page.get_by_role("heading", name="Replay 20 messages?")).to_be_visible()
    expect_accessible(page)
    page.get_by_role("dialog").get_by_role("button", name="Replay all").click()
    expect(page.get_by_role("status").first).to_have_text("It has begun. This page shows its progress.")
    expect(page.get_by_text("COMPLETED")).to_be_visible()
    expect(page.locator("[data-row]")).to_have_count(PAID)
    expect(page.locator("[data-row] .badge.good")).to_have_count(PAID)
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    expect_accessible(page)

    # Discard all that are left: 280, so that the number has to be typed.
    page.goto("/console/dead-letters/group")
    page.get_by_role("button", name="Discard all").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("an attack on the till")
    dialog.get_by_label("Type 280 to confirm").fill("28")
    dialog.get_by_role("button", name="Discard all").click()
    # Nothing is done, and what was typed is still there. The rest is done by keyboard.
    expect(dialog.get_by_role("alert")).to_contain_text("there are 280 of them now")
    expect(dialog.get_by_label("Reason")).to_have_value("an attack on the till")
    expect(dialog.get_by_label("Type 280 to confirm")).to_be_focused()
    expect_accessible(page)
    page.keyboard.type("280")
    page.keyboard.press("Enter")
    expect(page.get_by_text("COMPLETED")).to_be_visible()
    page.goto("/console/dead-letters")
    expect(page.get_by_text("No message waits for a decision.")).to_be_visible()
    # Who discarded what.
    page.goto("/console/audit")
    expect(page.get_by_text("an attack on the till").first).to_be_visible()
    expect_one_line_that_opens(page)
    page.goto("/console/bulk-operations")
    expect(page.locator("[data-row]")).to_have_count(2)
    expect(page.locator("[data-label=Who]")).to_have_text([re.compile("^ana ")] * 2)
    expect_accessible(page)


def expect_one_line_that_opens(page: Page) -> None:
    decided = page.get_by_role("row", name="dead_letter.decided").filter(has_text="an attack on the till")
    expect(decided).to_have_count(1)
    expect(decided).to_contain_text("and 279 more")
    expect(decided.locator("[data-label=Who]")).to_contain_text("ana")
    expect_accessible(page)
    decided.locator("[data-main]").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Changes of one request")
    expect(page.locator("[data-row]")).to_have_count(50)
    expect_accessible(page)


def find_by_its_order(page: Page, letter: str) -> None:
    """Another way to the first letter of the group that is shown, and back: by what is shown of its order."""
    shown = page.locator("[data-row] [data-label=Order]").first.inner_text()
    page.get_by_role("link", name="Dead letters", exact=True).press("Enter")
    page.get_by_label("Find", exact=True).fill(shown)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Dead letters found")
    expect_accessible(page)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(letter)
    page.go_back()
    page.go_back()
    page.go_back()
