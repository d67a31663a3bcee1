"""Signing in, the frame of all screens, and what holds for each of them."""

from collections.abc import Callable
from time import monotonic, sleep

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from entrypoints.http.console.navigation import NAVIGATION, Entry
from tests.console.conftest import Console, expect_accessible, sign_in
from tests.servers.process import SLOWEST

SCREENS = [entry for group in NAVIGATION for entry in group.entries]


def test_on_a_phone_what_is_wrong_comes_first(page: Page) -> None:
    page.set_viewport_size({"width": 375, "height": 740})
    page.goto("/console/now")
    expect(page.locator("#verdict")).to_be_visible()
    order = ["#verdict", "#attention-title", "#to-accepted", "#accepted-chart"]
    tops = [page.locator(each).bounding_box() for each in order]
    heights = [each["y"] for each in tops if each is not None]
    assert len(heights) == len(order)
    assert heights == sorted(heights)
    # Without scrolling, also in two lines.
    assert heights[0] < 600


def test_a_session_begins_with_a_key_and_ends_with_it(
    console: Console, new_context: Callable[..., BrowserContext]
) -> None:
    context = new_context()
    page = context.new_page()
    page.goto("/console/audit?subject=product+7")
    page.get_by_label("API key").fill("hf_live_admin_nonsense")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("does not let you in")
    expect_accessible(page)

    till = console.make_key("admin", "bob")
    page.get_by_label("API key").fill(till)
    page.get_by_role("button", name="Sign in").click()
    # It goes on where it was interrupted.
    expect(page).to_have_url(f"{console.service.url}/console/audit?subject=product+7")
    [cookie] = [each for each in context.cookies() if each["name"].startswith("__Host-")]
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"], cookie["path"]) == (True, True, "Strict", "/")
    assert till not in cookie["value"]

    page.goto("/console/now")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    console.service.run("keys", "revoke", till.removeprefix("hf_live_admin_")[:12], seconds=60)
    with httpx.Client(base_url=console.service.url, headers={"Authorization": f"Bearer {till}"}, timeout=60) as api:
        deadline = monotonic() + 60 * SLOWEST
        while api.get("/orders").status_code != httpx.codes.UNAUTHORIZED:
            assert monotonic() < deadline
            sleep(0.1)
    # The page that is open is told, and goes.
    expect(page.get_by_label("API key")).to_be_visible()


def test_somebody_signs_out(console: Console, new_context: Callable[..., BrowserContext]) -> None:
    page = new_context().new_page()
    sign_in(page, console.key)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status")).to_have_text("You are signed out.")
    page.goto("/console/audit")
    expect(page.get_by_label("API key")).to_be_visible()


def test_the_theme_that_was_chosen_stays(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    page.goto("/console/audit")
    page.get_by_role("button", name="dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("getComputedStyle(document.body).color") != "rgb(29, 32, 33)"
    page.goto("/console/audit")
    expect(page.get_by_role("button", name="dark")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="system").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "system")


def test_the_keyboard_leads_through_a_screen(page: Page) -> None:
    page.goto("/console/audit")
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keyboard")).to_be_visible()
    expect_accessible(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Keyboard")).to_be_hidden()
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator("[data-row]").nth(1).locator("[data-main]")
    expect(second).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator("[data-row]").first.locator("[data-main]")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Find an order")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_label("Find an order")).to_have_value("?")
    expect(page.get_by_role("heading", name="Keyboard")).to_be_hidden()


@pytest.mark.parametrize("screen", SCREENS, ids=lambda entry: entry.path)
def test_a_key_leads_to_each_screen(page: Page, screen: Entry) -> None:
    page.goto("/console/keys" if screen.path != "/console/keys" else "/console/audit")
    page.keyboard.press("?")
    expect(page.locator("dialog[open]")).to_contain_text(f"{screen.key} {screen.title}")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press(screen.key)
    page.wait_for_url(f"**{screen.path}")


def test_a_link_of_another_site_leads_to_the_page_with_the_session(page: Page, console: Console) -> None:
    # Another site: localhost is not 127.0.0.1.
    elsewhere = console.service.url.replace("127.0.0.1", "localhost")
    page.route(
        f"{elsewhere}/chat",
        lambda route: route.fulfill(
            content_type="text/html", body=f'<a href="{console.service.url}/console/audit">look</a>'
        ),
    )
    page.goto(f"{elsewhere}/chat")
    page.get_by_role("link", name="look").click()
    expect(page.get_by_role("heading", name="Audit")).to_be_visible()


def test_an_address_without_a_page_is_told_in_a_page(page: Page) -> None:
    answer = page.goto("/console/nowhere")
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect_accessible(page)
