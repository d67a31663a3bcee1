"""The shop is checked, what is wrong is found and repaired, and nothing is repaired by looking."""

from playwright.sync_api import Page, expect

from tests.console.conftest import Console, expect_accessible
from tests.console.places import Places
from tests.console.test_screens import confirm


def test_a_discrepancy_is_found_and_repaired(page: Page, places: Places) -> None:
    order = places.refunded_without_its_money()
    page.goto("/console/now")
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page.get_by_role("heading", name="Reconcile")).to_be_visible()
    expect(page.locator("[data-row]")).to_have_count(0)
    page.keyboard.press("r")
    dialog = page.locator("dialog[open]")
    expect(dialog).to_contain_text("Nothing is changed")
    expect_accessible(page)
    # Leaving the dialog starts nothing.
    page.keyboard.press("Escape")
    page.reload()
    expect(page.locator("[data-row]")).to_have_count(0)
    page.keyboard.press("r")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    expect(page.get_by_role("status").first).to_have_text("A worker runs the check.")
    row = page.locator("[data-row]")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("it is REFUNDED")
    expect(row).to_contain_text("refund the charge")
    expect(row.get_by_role("link")).to_have_attribute("href", f"/console/orders/{order}")
    expect(page.locator(".badge", has_text="discrepancies")).to_be_visible()
    expect(page.locator("dd", has_text="charge: 1")).to_be_visible()
    expect_accessible(page)

    # Nothing was repaired by looking.
    page.keyboard.press("r")
    expect(page.get_by_role("heading", name="Repair 1 discrepancy?")).to_be_visible()
    expect_accessible(page)
    confirm(page, "Repair")
    expect(page.get_by_role("heading", level=1)).to_have_text("Repair")
    expect(page.locator("[data-row]")).to_contain_text("done: the money was given back")
    expect(page.get_by_role("button", name="Repair")).to_have_count(0)
    expect_accessible(page)
    page.get_by_role("link", name="what was found before").click()
    expect(page.locator("[data-row]")).to_contain_text("refund the charge")

    page.goto("/console/reconciliations")
    expect(page.locator("[data-row]")).to_have_count(2)
    expect(page.locator("[data-row]").first).to_contain_text("check and repair")
    expect_accessible(page)
    page.goto("/console/audit")
    expect(page.get_by_text("reconciliation.repaired")).to_be_visible()
    page.goto("/console/now")
    expect(page.get_by_label("Last consistency check")).to_contain_text("consistent")


def test_an_operator_sees_no_repair(console: Console, page: Page, places: Places) -> None:
    places.refunded_without_its_money()
    page.goto("/console/reconciliations")
    page.get_by_role("button", name="Check now").click()
    confirm(page, "Check now")
    expect(page.get_by_role("button", name="Repair")).to_be_visible()
    place = page.url
    context = page.context.browser
    assert context is not None
    operator = context.new_context(base_url=console.service.url)
    try:
        looking = operator.new_page()
        looking.goto("/console/sign-in")
        looking.get_by_label("API key").fill(console.make_key("operator", "otto"))
        looking.get_by_role("button", name="Sign in").click()
        looking.wait_for_url(lambda url: "/sign-in" not in url)
        looking.goto(place)
        expect(looking.locator("[data-row]").first).to_contain_text("it is REFUNDED")
        expect(looking.get_by_role("button", name="Repair")).to_have_count(0)
    finally:
        operator.close()
