"""What holds for every screen of the console: everybody can use it, and nothing that it offers is untried."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Page, expect

from entrypoints.http.console import pages
from entrypoints.http.console.navigation import NAVIGATION
from tests.console.acts import acts_on, routes
from tests.console.conftest import expect_accessible
from tests.console.places import Places
from tests.console.test_keyboard import ACTS, at

# What has to be moved sideways to be read.
_SCROLLS_SIDEWAYS: Final = """
[...document.querySelectorAll("body *")]
  .filter(each => ["auto", "scroll"].includes(getComputedStyle(each).overflowX) && each.checkVisibility())
  .filter(each => each.scrollWidth > each.clientWidth + 1)
  .map(each => each.outerHTML.slice(0, 200))
"""
# Addresses that answer with no page of their own, and with what instead.
_NO_PAGES: Final[Mapping[str, str]] = {
    "/console": "the first screen",
    "/console/": "the first screen",
    "/console/static/<path:name>": "a file",
    "/console/live": "a stream",
    "/console/now/numbers": "a part of the page",
    "/console/flow/numbers": "a part of the page",
    "/console/orders/new": "a part of the page",
    "/console/jobs/<job_id>/file": "a file",
}
# By the path of its route, each state of a screen that is worth a look.
_SCREENS: Final[Mapping[str, Sequence[Callable[[Places], str]]]] = {
    "/console/sign-in": [at("/console/sign-in"), at("/console/sign-in?ended=1")],
    "/console/now": [lambda places: places.before("/console/now", places.letter)],
    "/console/flow": [at("/console/flow")],
    "/console/orders": [Places.orders_of_one, at("/console/orders?q=colour:red"), at("/console/orders?q=customer:99")],
    "/console/orders/many": [
        lambda places: places.act_on_orders("cancel"),
        lambda places: places.act_on_orders("retry"),
    ],
    "/console/orders/<order_id>": [Places.order, Places.paid_order, Places.lost_order],
    "/console/stock": [at("/console/stock")],
    "/console/stock/<product_id>": [Places.product],
    "/console/webhooks": [lambda places: places.before("/console/webhooks", places.delivery, places.disabled_endpoint)],
    "/console/webhooks/new": [at("/console/webhooks/new")],
    "/console/webhooks/<endpoint_id>": [Places.endpoint, Places.disabled_endpoint, Places.failing_endpoint],
    "/console/webhooks/<endpoint_id>/edit": [
        lambda places: f"{places.endpoint(headers={'Authorization': 'Bearer abc'})}/edit"
    ],
    "/console/webhooks/deliveries/<delivery_id>": [Places.delivery],
    "/console/jobs": [lambda places: places.before("/console/jobs", places.job)],
    "/console/jobs/<job_id>": [Places.job, Places.cancelled_job, Places.export],
    "/console/messages": [Places.message],
    "/console/dead-letters": [
        lambda places: places.before("/console/dead-letters", places.letter),
        at("/console/dead-letters?q=order"),
        at("/console/dead-letters?q=0195a2b3-c4d5"),
    ],
    "/console/dead-letters/group": [Places.group, at("/console/dead-letters/group?error=Nothing")],
    "/console/dead-letters/<letter_id>": [Places.letter],
    "/console/bulk-operations": [lambda places: places.before("/console/bulk-operations", places.operation)],
    "/console/bulk-operations/<job_id>": [Places.operation, Places.ended_operation],
    "/console/reconciliations": [lambda places: places.before("/console/reconciliations", places.consistency_check)],
    "/console/reconciliations/<job_id>": [Places.consistency_check],
    "/console/audit": [
        at("/console/audit"),
        at("/console/audit?subject=product+1"),
        at("/console/audit?subject=nobody"),
    ],
    "/console/keys": [lambda places: places.key("a till")],
}
_NAMES: Final = re.compile(r"([\w-]+):")
_TITLES: Final = {entry.path: entry.title for group in NAVIGATION for entry in group.entries}


def test_the_dark_theme_is_the_same_for_who_chose_it_and_for_whose_system_is_dark() -> None:
    sheet = (Path(pages.__file__).parent / "static" / "console.css").read_text()
    chosen, of_system = (
        re.findall(rf':root\[data-theme="{theme}"\] {{\s*(--page: #1[^}}]+)}}', sheet) for theme in ("dark", "system")
    )
    assert len(chosen) == 1
    assert chosen == of_system


def test_a_theme_changes_colours_and_nothing_else() -> None:
    sheet = (Path(pages.__file__).parent / "static" / "console.css").read_text()
    changed = [name for block in re.findall(r"\[data-theme[^{]*{([^}]*)}", sheet) for name in _NAMES.findall(block)]
    assert changed
    assert [name for name in changed if name != "color-scheme" and not name.startswith("--")] == []


def test_every_address_that_answers_with_a_page_is_looked_at() -> None:
    every = {route.path for route in routes() if route.method == "GET"}
    assert every - _NO_PAGES.keys() == _SCREENS.keys()


@pytest.mark.parametrize(
    ("path", "place"),
    [
        pytest.param(path, place, id=f"{path} {number}")
        for path, all_ in _SCREENS.items()
        for number, place in enumerate(all_)
    ],
)
def test_a_screen_is_accessible_in_both_themes_fits_a_phone_and_offers_only_what_is_tried_by_keyboard(
    path: str, place: Callable[[Places], str], page: Page, places: Places
) -> None:
    page.goto(place(places))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    if title := _TITLES.get(path):
        expect(page.get_by_role("navigation").get_by_role("link", name=title, exact=True)).to_have_attribute(
            "aria-current", "page"
        )
        expect(page.locator(".caller")).to_contain_text("ana")
    expect_accessible(page)
    assert acts_on(page) <= ACTS.keys()
    for width in (375, 360):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(_SCROLLS_SIDEWAYS) == []
    expect_accessible(page)
