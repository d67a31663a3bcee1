"""The acts of the console, as a page offers them, and the keyboard by which each is done."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from attrs import frozen
from playwright.sync_api import Locator, Page, expect

from entrypoints.http.console.app import console_app
from entrypoints.http.routes.route import Route
from tests.console.conftest import expect_accessible
from tests.http.test_console import Door
from tests.unit.shop import Shop

# What a form or a link of the page would send, and what stands on it.
_OFFERED: Final = """
() => {
  const path = (address) => new URL(address, location).pathname;
  const text = (each) => each.textContent.replace(/\\s+/g, " ").trim();
  const ofForms = [...document.querySelectorAll("form:not([method=dialog])")].flatMap(form => {
    const method = (form.getAttribute("method") || "get").toUpperCase();
    const action = form.getAttribute("action") || location.href;
    const buttons = [...form.elements].filter(each => each.type === "submit" || each.type === "image");
    // It is sent with Enter.
    if (!buttons.length) return [[method, path(action), text(form.querySelector("label"))]];
    return buttons.map(each => [
      (each.getAttribute("formmethod") || method).toUpperCase(),
      path(each.getAttribute("formaction") || action),
      text(each),
    ]);
  });
  const ofLinks = [...document.querySelectorAll("a[download]")].map(each => ["GET", path(each.href), text(each)]);
  const ofScripts = ["post", "put", "patch", "delete"].flatMap(method =>
    [...document.querySelectorAll(`[hx-${method}]`)].map(each =>
      [method.toUpperCase(), path(each.getAttribute(`hx-${method}`)), text(each)]));
  return [...ofForms, ...ofLinks, ...ofScripts];
}
"""
_FOCUSABLE: Final = "document.querySelectorAll('a, button, input, select, textarea, [tabindex]').length"


@cache
def routes() -> Sequence[Route]:
    """Return all that the console answers, also what was added last."""
    nothing: Any = None
    app: Any = console_app(
        Shop().use_cases,
        Door(),
        nothing,
        secret=b"a secret",
        namespace="holdfast",
        request_timeout=1,
        max_body=1,
        measure=nothing,
        now=nothing,
    )
    return tuple(app.routes.values())


@frozen
class Act:
    """What is sent, to which route, and what stands on the button."""

    sends: str
    label: str


def acts_on(page: Page) -> set[Act]:
    """Return the acts that a page offers, also those in its dialogs."""
    return {
        # With a search, an act on orders is one on all that it finds, too.
        Act(f"{method} {pattern(method, path)}", label.replace("these or the chosen", "the chosen"))
        for method, path, label in page.evaluate(_OFFERED)
    }


def pattern(method: str, path: str) -> str:
    """Return the path of the route that takes this: of several, the one with the fewest ids in it."""
    fitting = [
        route.path
        for route in routes()
        if route.method == method and re.fullmatch(re.sub("<[^>]+>", "[^/]+", route.path), path)
    ]
    return min(fitting, key=lambda each: each.count("<"), default=path)


@frozen
class Keyboard:
    """A page for somebody who has no mouse."""

    page: Page
    # The key with which the person signs in.
    token: str

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def reach(self, target: Locator) -> None:
        """Go there with the tab key alone, and see that it has the focus."""
        expect(target).to_be_visible()
        for _ in range(2 * self.page.evaluate(_FOCUSABLE)):
            if target.evaluate("each => each === document.activeElement"):
                assert target.evaluate("each => each.matches(':focus-visible')")
                return
            self.press("Tab")
        raise AssertionError(f"the tab key does not lead to {target}")

    def write(self, label: str, text: str) -> None:
        """Write into the field with this label, in the dialog if there is one, in place of what stands there."""
        self.reach(self._here().get_by_label(label, exact=True))
        self.press("ControlOrMeta+a")
        self.page.keyboard.type(text)

    def push(self, label: str) -> None:
        """Push the button with this label, in the dialog if there is one."""
        self.reach(self._here().get_by_role("button", name=label, exact=True))
        self.press("Enter")

    def choose(self, label: str, *, down: int) -> None:
        """Choose another one in the list with this label, so many places further down."""
        self.reach(self._here().get_by_label(label, exact=True))
        self.press(*["ArrowDown"] * down)

    def confirm(self, label: str, fields: Mapping[str, str] = {}) -> None:
        """Fill the dialog that asks first, and push its button."""
        dialog = self.page.locator("dialog[open]")
        expect(dialog).to_be_visible()
        expect_accessible(self.page)
        for name, text in fields.items():
            self.write(name, text)
        self.reach(dialog.get_by_role("button", name=label, exact=True))
        # A button is pushed with the space bar as well.
        self.press("Space")

    def _here(self) -> Locator:
        dialog = self.page.locator("dialog[open]")
        return dialog if dialog.count() else self.page.locator("body")
