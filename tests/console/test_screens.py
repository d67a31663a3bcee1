"""What the person on duty finds and does, on real orders. `test_keyboard.py` does each act by keyboard alone."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.console.conftest import Console, expect_accessible


@pytest.fixture(scope="module")
def orders(console: Console) -> list[str]:
    """Three orders, the newest last."""
    placed = []
    with console.client() as api:
        for number in (1, 2, 3):
            order = {"user_id": 7, "email": "ines@example.org", "items": [{"product_id": number, "quantity": number}]}
            placed.append(api.post("/orders", json=order).raise_for_status().json()["order_id"])
    return placed


def confirm(page: Page, act: str) -> None:
    """Do it in the dialog that asks first."""
    page.locator("dialog[open]").get_by_role("button", name=act, exact=True).click()


def test_an_order_is_found_paid_for_and_refunded(page: Page, orders: list[str]) -> None:
    page.goto("/console/now")
    page.keyboard.press("g")
    page.keyboard.press("o")
    expect(page.get_by_role("heading", name="Orders")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("ines@example.org status:PENDING")
    page.keyboard.press("Enter")
    expect(page.locator("[data-row]")).to_have_count(3)
    for _ in orders:
        page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(orders[0]))
    expect(page.locator(".sentence")).to_have_text("Nobody has asked for its payment.")
    expect_accessible(page)

    page.keyboard.press("r")
    expect(page.locator("dialog[open]")).to_contain_text("Its payment is requested")
    expect_accessible(page)
    confirm(page, "Pay")
    expect(page.get_by_role("status").first).to_contain_text("Its payment is requested.")
    reloaded_until(page, lambda: page.locator("h1 .badge").first.inner_text() == "PAID")
    expect(page.locator(".timeline .what")).to_have_text(["Placed", "Payment requested", "Stock reserved", "Paid"])
    expect(page.locator(".timeline .span")).to_have_count(3)
    expect(page.get_by_label("Payments")).to_contain_text("CHARGED")
    expect_accessible(page)

    page.get_by_role("button", name="Refund").click()
    # Nothing is done by opening a dialog, nor by leaving it.
    page.get_by_role("button", name="Leave it").click()
    expect(page.locator("h1 .badge").first).to_have_text("PAID")
    page.get_by_role("button", name="Refund").click()
    confirm(page, "Refund")
    reloaded_until(page, lambda: page.locator("h1 .badge").first.inner_text() == "REFUNDED")
    page.get_by_role("link", name="Who changed it").click()
    expect(page.locator("[data-row]").first).to_contain_text("order.refund_requested")


def reloaded_until(page: Page, met: Callable[[], bool]) -> None:
    for _ in range(600):
        if met():
            return
        page.wait_for_timeout(100)
        page.reload()
    raise AssertionError(page.locator("main").inner_text())


def test_an_order_that_has_changed_meanwhile_is_left_alone(page: Page, orders: list[str], console: Console) -> None:
    page.goto(f"/console/orders/{orders[1]}")
    with console.client() as api:
        api.patch(f"/orders/{orders[1]}", json={"note": "ring twice"}).raise_for_status()
    page.get_by_role("button", name="Cancel order").click()
    confirm(page, "Cancel order")
    expect(page.get_by_role("heading", level=1)).to_have_text("It has changed since the page showed it")
    expect_accessible(page)
    page.get_by_role("link", name="Back, to see how it stands now").click()
    page.wait_for_url(f"**/console/orders/{orders[1]}")
    expect(page.locator("h1 .badge").first).to_have_text("PENDING")
    expect(page.get_by_label("Order", exact=True)).to_contain_text("ring twice")


@pytest.mark.usefixtures("orders")
def test_new_orders_are_told_of_and_move_no_row(page: Page, console: Console) -> None:
    page.goto("/console/orders")
    first = page.locator("[data-main]").first
    newest = first.inner_text()
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator("[data-main]").nth(1)
    expect(second).to_be_focused()
    with console.client() as api:
        order = {"user_id": 8, "items": [{"product_id": 1, "quantity": 1}]}
        new = api.post("/orders", json=order).raise_for_status().json()["order_id"]
    pill = page.get_by_role("link", name="1 new")
    expect(pill).to_be_visible()
    expect(first).to_have_text(newest)
    # The focus has survived what was swapped.
    expect(second).to_be_focused()
    expect_accessible(page)
    pill.click()
    expect(first).to_have_text(new)


def test_an_order_is_found_by_what_is_shown_of_its_id_by_keyboard_alone(page: Page, orders: list[str]) -> None:
    page.goto("/console/now")
    page.keyboard.press("/")
    page.keyboard.type(f"{orders[0][:13]}...{orders[0][-8:]}")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/console/orders/{orders[0]}")
    page.keyboard.press("/")
    page.keyboard.type(f"id:{orders[0][-12:]}")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("write at least the first 8 characters of the id")
    expect_accessible(page)


def test_a_search_that_is_not_understood_says_which_word(page: Page) -> None:
    page.goto("/console/orders?q=colour:red")
    expect(page.get_by_role("alert")).to_contain_text("colour:red")
    expect_accessible(page)


def test_orders_are_exported_and_downloaded(page: Page, orders: list[str]) -> None:
    page.goto("/console/orders?q=customer:7")
    page.get_by_role("button", name="Export").click()
    expect_accessible(page)
    confirm(page, "Export")
    reloaded_until(page, lambda: page.get_by_role("link", name="Download").count() == 1)
    expect_accessible(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    content = download.value.path().read_text()
    assert all(order in content for order in orders)


def test_the_stock_is_adjusted_with_a_reason(page: Page) -> None:
    page.goto("/console/stock")
    page.get_by_role("link", name="Letter opener, brass").click()
    expect_accessible(page)
    page.keyboard.press("r")
    page.get_by_label("Units to add").fill("-10")
    page.get_by_label("Reason").fill("broken in transport")
    expect_accessible(page)
    confirm(page, "Adjust")
    expect(page.get_by_role("status").first).to_have_text("The stock is adjusted.")
    expect(page.get_by_label("On hand")).to_contain_text("240")
    expect(page.get_by_role("row").nth(1)).to_contain_text("broken in transport")


def test_a_key_is_made_shown_once_and_revoked(page: Page, console: Console) -> None:
    page.goto("/console/keys")
    page.get_by_role("button", name="Make a key").click()
    page.get_by_label("Name").fill("the till")
    expect_accessible(page)
    confirm(page, "Make a key")
    token = page.locator("#token").inner_text()
    assert token.startswith("hf_live_read_")
    expect_accessible(page)
    page.get_by_role("link", name="I have copied it").click()
    assert token not in page.content()
    row = page.get_by_role("row", name="the till")
    row.get_by_role("button", name="Revoke").click()
    confirm(page, "Revoke")
    expect(row).to_contain_text("revoked")


def test_a_receiver_of_webhooks_is_tested_and_disabled(
    page: Page, console: Console, orders: list[str], new_context: Callable[..., BrowserContext]
) -> None:
    with console.client() as api:
        api.post(
            "/webhook-endpoints", json={"url": "https://receiver.invalid/hook", "events": ["order.*"]}
        ).raise_for_status()
        order: dict[str, Any] = {"user_id": 7, "items": [{"product_id": 1, "quantity": 1}]}
        api.post("/orders", json=order).raise_for_status()
    page.goto("/console/webhooks")
    page.get_by_role("link", name="https://receiver.invalid/hook").click()
    reloaded_until(page, lambda: page.locator("[data-row]").count() >= 1)
    expect_accessible(page)
    page.get_by_role("button", name="Test").click()
    confirm(page, "Test")
    expect(page.get_by_role("status").first).to_contain_text("The test failed: dns")
    page.locator("[data-row] [data-main]").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("order.placed")
    expect_accessible(page)
    page.get_by_role("link", name="Receiver").click()
    page.get_by_role("button", name="Rotate secret").click()
    confirm(page, "Rotate secret")
    expect(page.locator("#secret")).to_contain_text("whsec_")
    expect_accessible(page)
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("button", name="Disable").click()
    confirm(page, "Disable")
    expect(page.get_by_label("Health")).to_contain_text("disabled")
    expect_accessible(page)


def test_a_receiver_of_webhooks_is_registered_and_edited(page: Page) -> None:
    page.goto("/console/webhooks")
    page.get_by_role("link", name="Register a receiver").press("Enter")
    expect(page.get_by_role("heading", name="Register a receiver")).to_be_visible()
    expect_accessible(page)
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    expect_accessible(page)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_label("Address").focus()
    # What is wrong is told, and what was typed stays.
    page.keyboard.type("http://warehouse.invalid/")
    page.keyboard.press("Tab")
    page.keyboard.type("the warehouse")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Url: ")
    expect(page.get_by_label("Description")).to_have_value("the warehouse")
    expect_accessible(page)
    page.get_by_label("Address").fill("https://warehouse.invalid/")
    page.get_by_label("Headers").fill("Authorization: Bearer abc")
    page.get_by_label("Most in a second").fill("20")
    page.get_by_label("Most in a second").press("Enter")
    expect(page.locator("#secret")).to_contain_text("whsec_")
    secret = page.locator("#secret").inner_text()
    page.get_by_role("link", name="I have copied it").press("Enter")
    expect(page.get_by_label("Sends")).to_contain_text("20 a second, signed v1, with Authorization")
    expect(page.get_by_label("Wants")).to_have_text("Wants*")
    assert secret not in page.content()

    page.get_by_role("link", name="Edit").press("Enter")
    expect(page.get_by_role("heading", name="Edit the receiver")).to_be_visible()
    expect_accessible(page)
    page.get_by_label("Events").fill("order.paid")
    page.get_by_label("Most at once").fill("2")
    page.get_by_label("Most at once").press("Enter")
    expect(page.get_by_role("status").first).to_have_text("The receiver is changed.")
    expect(page.get_by_label("Wants")).to_contain_text("order.paid")
    expect(page.get_by_label("Sends")).to_contain_text("2 at once, 20 a second, signed v1, with Authorization")
    assert secret not in page.content()
    expect_accessible(page)


def test_the_flow_shows_what_waits_where_and_who_leads(page: Page, orders: list[str]) -> None:
    page.goto("/console/now")
    page.keyboard.press("g")
    page.keyboard.press("f")
    expect(page.get_by_role("heading", name="Flow")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(4)
    for queue in ("intake", "payments", "refunds"):
        row = page.get_by_role("row", name=queue)
        # This service is one process, whose worker consumes every queue that is used.
        expect(row.locator("[data-label=Ready]")).to_have_text("0")
        expect(row.locator("[data-label=Unacked]")).to_have_text("0")
    expect(page.get_by_role("row", name="payments").locator("[data-label=Consumers]")).to_have_text("1")
    expect(page.get_by_label("Outbox")).to_contain_text("nothing waits")
    expect(page.get_by_label("Active relay")).to_contain_text("publishes")
    lease = page.get_by_label("Active relay").locator("time").last
    until = lease.get_attribute("datetime")
    # The lease is renewed, and the page is read anew meanwhile.
    expect(lease).not_to_have_attribute("datetime", until or "")
    expect_accessible(page)


def test_now_is_read_anew_while_it_is_looked_at(page: Page, console: Console) -> None:
    page.goto("/console/now")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(page.locator("#accepted-chart canvas")).to_be_visible()
    before = page.get_by_label("Accepted", exact=True).inner_text()
    page.locator("#to-accepted").focus()
    with console.client() as api:
        order = {"user_id": 8, "items": [{"product_id": 1, "quantity": 1}]}
        api.post("/orders", json=order).raise_for_status()
    expect(page.get_by_label("Accepted", exact=True)).not_to_have_text(before)
    expect(page.locator("#to-accepted")).to_be_focused()
    expect_accessible(page)


def test_a_page_in_the_background_hears_nothing_until_it_is_looked_at(
    page: Page, signed_in: BrowserContext, console: Console
) -> None:
    looked_at = signed_in.new_page()
    try:
        for each in (page, looked_at):
            each.goto("/console/now")
            expect(each.get_by_text("Live", exact=True)).to_be_visible()
        # No browser without a screen puts a tab behind another one, so the page is told that it is.
        hide(page, hidden=True)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        shown = page.get_by_label("Accepted", exact=True).inner_text()
        before = looked_at.get_by_label("Accepted", exact=True).inner_text()
        with console.client() as api:
            order = {"user_id": 8, "items": [{"product_id": 1, "quantity": 1}]}
            api.post("/orders", json=order).raise_for_status()
        # The one that is looked at has heard of it, and so would the other one have.
        expect(looked_at.get_by_label("Accepted", exact=True)).not_to_have_text(before)
        assert asked == []
        assert page.get_by_label("Accepted", exact=True).inner_text() == shown

        hide(page, hidden=False)
        expect(page.get_by_label("Accepted", exact=True)).not_to_have_text(shown)
        assert any(url.endswith("/console/live") for url in asked)
    finally:
        looked_at.close()


def hide(page: Page, *, hidden: bool) -> None:
    page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


def test_orders_are_ticked_and_cancelled(page: Page, console: Console) -> None:
    with console.client() as api:
        order = {"user_id": 4711, "email": "olga@example.org", "items": [{"product_id": 1, "quantity": 1}]}
        oldest, *others = [api.post("/orders", json=order).raise_for_status().json()["order_id"] for _ in range(3)]
    page.goto("/console/orders?q=customer:4711")
    expect(page.locator("[data-row]")).to_have_count(3)
    for _ in others:
        page.keyboard.press("j")
        page.keyboard.press("x")
    expect(page.locator("[data-row] input:checked")).to_have_count(2)
    expect_accessible(page)
    page.get_by_role("button", name="Cancel these or the chosen").press("Enter")
    expect(page.get_by_role("heading", name="Cancel 2 orders?")).to_be_visible()
    expect_accessible(page)
    page.get_by_label("Reason").fill("a wrong price")
    page.keyboard.press("Enter")
    # A page that is on its way to another one can't be loaded anew.
    page.wait_for_url("**/console/bulk-operations/*")
    reloaded_until(page, lambda: page.locator("#progress[data-ended]").count() == 1)
    expect(page.get_by_role("heading", name="Cancel 2 orders")).to_be_visible()
    expect(page.locator("[data-row] .badge")).to_have_text(["done", "done"])
    expect_accessible(page)
    with console.client() as api:
        assert [api.get(f"/orders/{each}").json()["status"] for each in (oldest, *others)] == [
            "PENDING",
            "CANCELLED",
            "CANCELLED",
        ]
