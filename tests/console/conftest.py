"""The console in Debian's Chromium, on a running service: one service and one browser for a whole file."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import httpx
import pytest
from attrs import frozen
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.console.places import Places
from tests.servers.process import SLOWEST
from tests.service import Service

_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# In milliseconds. It costs nothing while all is well.
_PATIENT: Final = 30_000 * SLOWEST
_AXE: Final = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
# What reaches out of the box that it is in, to the right. A dialog is in no box.
_OVER_THE_EDGE: Final = """
[...document.querySelectorAll("main, .columns > *, .card")].flatMap(box =>
  [...box.querySelectorAll(".card, .list, pre, textarea, input, dl")]
    .filter(each => !each.closest("dialog") && each.checkVisibility())
    .filter(each => each.getBoundingClientRect().right > box.getBoundingClientRect().right + 1)
    .map(each => each.outerHTML.slice(0, 200)))
"""
# What is well is not told, which takes most of the time. No rule of these needs the style sheets beforehand.
_VIOLATIONS: Final = """
rules => axe.run({runOnly: rules, resultTypes: ["violations"], preload: false}).then(result => result.violations)
"""
_THEMES: Final[Sequence[Literal["light", "dark"]]] = ("light", "dark")
_RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# A theme changes colours and nothing else (`test_every_screen.py`), so that the others are tried for these alone.
_RULES_ABOUT_COLOURS: Final = ["color-contrast", "link-in-text-block"]


@frozen
class Console:
    """A running service that asks for a key, and the key of an administrator."""

    service: Service
    key: str

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.service.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=30 * SLOWEST
        )

    def make_key(self, role: str, name: str) -> str:
        made = self.service.run("keys", "create", "--role", role, "--name", name, seconds=60)
        return next(line for line in made.splitlines() if line.startswith("hf_live_"))


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Console]:
    service = Service(folder=folder, settings={"HOLDFAST_AUTH": "required", **settings})
    console = Console(service, "")
    try:
        service.run("migrate", seconds=60)
        key = console.make_key("admin", "ana")
        service.start_all(["up"])
        yield Console(service, key)
    finally:
        service.kill()


@contextmanager
def browsing(program: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        expect.set_options(timeout=_PATIENT)
        browser = playwright.chromium.launch(executable_path=str(program), args=list(_FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with running(tmp_path_factory.mktemp("console")) as console:
        yield console


@pytest.fixture(scope="module")
def places(console: Console) -> Iterator[Places]:
    with console.client() as api:
        yield Places(console.service, api)


@pytest.fixture(scope="module")
def chromium(chromium_program: Path) -> Iterator[Browser]:
    with browsing(chromium_program) as browser:
        yield browser


@pytest.fixture(scope="module")
def new_context(chromium: Browser, console: Console) -> Iterator[Callable[..., BrowserContext]]:
    """Makes a browser that knows nothing yet."""
    made: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:
        usual = {
            "base_url": console.service.url,
            "viewport": {"width": 1280, "height": 800},
            "reduced_motion": "reduce",
        }
        made.append(chromium.new_context(**usual | options))
        made[-1].set_default_timeout(_PATIENT)
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def signed_in(new_context: Callable[..., BrowserContext], console: Console) -> BrowserContext:
    context = new_context()
    page = context.new_page()
    sign_in(page, console.key)
    page.close()
    return context


@pytest.fixture
def page(signed_in: BrowserContext) -> Iterator[Page]:
    """A page of somebody who has signed in. Whatever a script or the policy of the page refuses fails the test."""
    page = signed_in.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if "Content Security" in message.text else None)
    yield page
    page.close()
    assert problems == []


def sign_in(page: Page, key: str) -> None:
    page.goto("/console/sign-in")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/sign-in" not in url)


def expect_accessible(page: Page) -> None:
    """Fail with what axe-core finds wrong with the page as it stands, in each theme, or what reaches out of its box."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_AXE)
    for theme, rules in zip(_THEMES, (_RULES, _RULES_ABOUT_COLOURS), strict=True):
        page.emulate_media(color_scheme=theme)
        found = page.evaluate(_VIOLATIONS, rules)
        told = [(theme, each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found]
        assert told == []
    # What is cut off or covered is no better than what has no contrast, and axe-core does not see it.
    assert page.evaluate(_OVER_THE_EDGE) == []
